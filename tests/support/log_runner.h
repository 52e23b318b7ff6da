#pragma once
// A ChangeLog on an io_context that the test's own thread turns.

#include <boost/asio/io_context.hpp>
#include <chrono>

#include "controller/core/change_log_writer.h"
#include "tests/support/log_fixture.h"

namespace cordon::test {

class LogRunner {
 public:
  LogRunner(controller::LogStore& store, const TestAuthority& authority, const Clock& clock)
      : LogRunner(store, {authority.key, authority.chain_pem}, authority.root_pem, clock) {}
  LogRunner(controller::LogStore& store, const controller::LogSigner& signer, const std::string& trust_bundle,
            const Clock& clock)
      : log_(must(controller::make_change_log({
            .strand = io_.get_executor(),
            .store = store,
            .signer = [signer] { return signer; },
            .trust_bundle_pem = trust_bundle,
            .unseal = plain_name,
            .clock = clock,
            .head_interval = std::chrono::milliseconds(2),
        }))) {}

  boost::asio::any_io_executor executor() { return io_.get_executor(); }
  controller::ChangeLog& operator*() { return *log_; }
  controller::ChangeLog* operator->() { return log_.get(); }

  /// Turns the strand until `condition` holds; false after ten seconds.
  template <class Condition>
  bool until(const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + Seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io_.restart();
      io_.run_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  /// Proposes and waits for the answer.
  Result<controller::Committed> propose(const controller::kinds::Kind& kind) {
    std::optional<Result<controller::Committed>> answer;
    log_->propose(controller::kinds::encode("root@local", kind),
                  [&](auto result) { answer = std::move(result); });
    if (!until([&] { return answer.has_value(); })) return fail(ErrorCode::internal, "no answer");
    return *answer;
  }

 private:
  boost::asio::io_context io_;
  std::unique_ptr<controller::ChangeLog> log_;
};

}  // namespace cordon::test
