#include "controller/api/api.h"

#include "base/log.h"
#include "controller/api/server.h"
#include "controller/core/config.h"

namespace cordon::controller {
namespace {

class RunningApi final : public Api {
 public:
  RunningApi(std::shared_ptr<api::Listener> https, std::shared_ptr<api::Listener> local)
      : https_(std::move(https)), local_(std::move(local)) {}
  ~RunningApi() override { stop(); }

  std::uint16_t https_port() const override { return https_->port(); }
  Result<> reload_certificate() override { return https_->reload(); }
  void stop() override {
    if (stopped_) return;
    stopped_ = true;
    https_->stop();
    local_->stop();
  }

 private:
  std::shared_ptr<api::Listener> https_, local_;
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Api>> start_api(Services& services) {
  auto server = std::make_shared<api::Server>(services);
  CORDON_ASSIGN(auto local, api::listen_local(server));
  auto https = api::listen_https(server);
  if (!https) {
    local->stop();
    return std::unexpected(std::move(https).error());
  }
  log::info("controller.api", "https on port {}, admin socket at {}", (*https)->port(),
            services.config.admin_socket().string());
  return std::make_unique<RunningApi>(std::move(*https), std::move(local));
}

}  // namespace cordon::controller
