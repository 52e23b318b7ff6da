#pragma once
// What stands under a controller's parts in a test: the log in memory, secrets and flows in a temporary
// directory, and a strand on a thread of its own. api_rig.h and controller_rig.h build on it.

#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "controller/core/change_log.h"
#include "controller/core/config.h"
#include "controller/core/metrics.h"
#include "controller/core/services.h"
#include "controller/flows/flows.h"
#include "controller/pki/authority.h"
#include "controller/secrets/secret_store.h"
#include "controller/world/apply.h"
#include "controller/world/kinds.h"
#include "tests/support/log_fixture.h"
#include "tests/support/memory_log_store.h"
#include "tests/support/temp_dir.h"

namespace cordon::test {

class StrandRig {
 public:
  StrandRig(const StrandRig&) = delete;
  StrandRig& operator=(const StrandRig&) = delete;

  /// Runs `f` on the controller's strand and gives its result.
  template <class F>
  std::invoke_result_t<F> on_strand(F f) {
    std::promise<std::invoke_result_t<F>> promise;
    post([&] {
      try {
        promise.set_value(f());
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    });
    return promise.get_future().get();
  }
  void post(std::function<void()> work);

  /// As root@local.
  Result<controller::Committed> propose(const controller::kinds::Kind& kind);

  /// Waits until `condition` holds, which is asked on the strand.
  template <class Condition>
  bool eventually(const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + Seconds(5);
    while (!on_strand(condition)) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

 private:
  struct Loop;
  TempDir dir_;
  std::unique_ptr<Loop> loop_;

 public:
  controller::ControllerConfig config;
  controller::Metrics metrics;
  MemoryLogStore store;
  std::unique_ptr<controller::SecretStore> secrets;
  std::unique_ptr<controller::Authority> authority;
  std::unique_ptr<controller::FlowStore> flows;  ///< the test's own look at what is kept
  std::unique_ptr<controller::Flows> kept_flows;
  std::unique_ptr<controller::ChangeLog> log;
  std::unique_ptr<controller::Services> services;

 protected:
  struct Options {
    const Clock& clock;
    std::vector<std::string> dns_names, ip_addresses;  ///< in the server's certificate
    bool plain_names = false;                          ///< people's names stand in the log as they are
  };
  explicit StrandRig(const Options& options);
  ~StrandRig();

  const TempDir& dir() const { return dir_; }
  /// Starts the thread and creates the installation.
  void begin();
  /// Runs `last` on the strand a moment later, by when connections have ended, and ends with what is queued
  /// then.
  void finish(std::function<void()> last);
  /// Ends now, whatever is queued.
  void halt();
};

}  // namespace cordon::test
