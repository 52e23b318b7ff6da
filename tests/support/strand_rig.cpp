#include "tests/support/strand_rig.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <optional>

#include "controller/core/change_log_writer.h"

namespace cordon::test {

namespace asio = boost::asio;

struct StrandRig::Loop {
  asio::io_context io;
  asio::strand<asio::io_context::executor_type> strand{io.get_executor()};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work{io.get_executor()};
  std::thread thread;
};

StrandRig::StrandRig(const Options& options) : loop_(std::make_unique<Loop>()) {
  config.name = "c1";
  config.trust_domain = "acme.example";
  config.run_directory = dir_.path();
  config.listen_api = config.listen_nodes = must(Endpoint::parse("127.0.0.1:0"));
  secrets = must(controller::open_secret_store(dir_ / "secrets.db", dir_ / "data.key"));
  authority = must(controller::open_authority({.trust_domain = config.trust_domain,
                                               .controller_name = config.name,
                                               .dns_names = options.dns_names,
                                               .ip_addresses = options.ip_addresses},
                                              *secrets, options.clock.now()));
  flows = must(controller::open_flow_store(dir_ / "flows.db"));
  kept_flows = must(controller::Flows::open(dir_ / "flows.db", metrics));
  controller::Unsealer unseal = plain_name;
  if (!options.plain_names) {
    unseal = [this](const SubjectId& id, std::string_view sealed) {
      return controller::open_personal_or_gone(*secrets, id.value, sealed);
    };
  }
  log = must(controller::make_change_log(
      {.strand = loop_->strand,
       .store = store,
       .signer =
           [this] { return controller::LogSigner{authority->server_key(), authority->server_chain_pem()}; },
       .trust_bundle_pem = authority->trust_bundle_pem(),
       .unseal = std::move(unseal),
       .clock = options.clock}));
  services = std::make_unique<controller::Services>(controller::Services{.strand = loop_->strand,
                                                                         .io = loop_->io.get_executor(),
                                                                         .pool = loop_->io.get_executor(),
                                                                         .clock = options.clock,
                                                                         .config = config,
                                                                         .log = *log,
                                                                         .store = store,
                                                                         .secrets = *secrets,
                                                                         .authority = *authority,
                                                                         .flows = *kept_flows,
                                                                         .metrics = metrics});
}

StrandRig::~StrandRig() = default;

void StrandRig::post(std::function<void()> work) {
  asio::post(loop_->strand, std::move(work));
}

Result<controller::Committed> StrandRig::propose(const controller::kinds::Kind& kind) {
  std::promise<Result<controller::Committed>> promise;
  post([&] {
    log->propose(controller::kinds::encode("root@local", kind),
                 [&](auto result) { promise.set_value(std::move(result)); });
  });
  return promise.get_future().get();
}

void StrandRig::begin() {
  loop_->thread = std::thread([this] { loop_->io.run(); });
  must(propose(installation()));
  must(propose(controller::kinds::FormatRaised{}));
}

void StrandRig::finish(std::function<void()> last) {
  loop_->work.reset();
  asio::steady_timer moment(loop_->strand, std::chrono::milliseconds(20));
  moment.async_wait([&last](auto) { last(); });
  loop_->thread.join();
}

void StrandRig::halt() {
  loop_->work.reset();
  loop_->io.stop();
  loop_->thread.join();
}

}  // namespace cordon::test
