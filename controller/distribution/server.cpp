#include "controller/distribution/server.h"

#include "controller/core/config.h"
#include "controller/core/services.h"
#include "controller/distribution/hub.h"
#include "controller/distribution/listener.h"

namespace cordon::controller {

namespace {

class Server final : public DistributionServer {
 public:
  Server(std::shared_ptr<Hub> hub, std::shared_ptr<Listener> listener)
      : hub_(std::move(hub)), listener_(std::move(listener)) {}
  Distribution& distribution() override { return *hub_; }
  std::uint16_t port() const override { return listener_->port(); }
  Result<> reload_certificate() override { return listener_->reload_certificate(); }
  void stop() override {
    hub_->stop();
    listener_->stop();
  }

 private:
  std::shared_ptr<Hub> hub_;
  std::shared_ptr<Listener> listener_;
};

}  // namespace

Result<std::unique_ptr<DistributionServer>> start_distribution(Services& services,
                                                               const std::filesystem::path& receipts,
                                                               const DistributionLimits& limits) {
  CORDON_ASSIGN(std::unique_ptr<ReceiptLedger> ledger, ReceiptLedger::open(receipts));
  CORDON_ASSIGN(const PresharedSource preshared, PresharedSource::open(services.secrets));
  auto hub = std::make_shared<Hub>(services, limits, std::move(ledger), preshared);
  auto listener = std::make_shared<Listener>(services, hub);
  CORDON_TRY(listener->open(services.config.listen_nodes));
  hub->start();
  services.distribution = hub.get();
  return std::make_unique<Server>(std::move(hub), std::move(listener));
}

}  // namespace cordon::controller
