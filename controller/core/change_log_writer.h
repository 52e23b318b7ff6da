#pragma once
// Makes the ChangeLog. Its sources: change_log_writer.cpp (the strand's part: proposals, batches, the fold),
// log_keeper.cpp (the storage's part, on a thread of its own), fold_log.cpp (the start).

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/crypto.h"
#include "controller/core/change_log.h"
#include "controller/log/log_store.h"
#include "controller/world/apply.h"

namespace cordon::controller {

/// With what heads are signed; asked for before each batch, on the strand, so that a renewed certificate is
/// used.
struct LogSigner {
  crypto::PrivateKey key;
  std::string chain_pem;  ///< leaf first
};

struct ChangeLogConfig {
  boost::asio::any_io_executor strand;
  LogStore& store;  ///< used on the log's own thread, and by the constructor
  std::function<LogSigner()> signer;
  std::string trust_bundle_pem;  ///< heads of other controllers, and all at the start, must lead to one of
                                 ///< these roots
  Unsealer unseal;
  const Clock& clock;
  const TimeZones& zones = system_time_zones();  ///< that policies' times of day are read by
  std::chrono::milliseconds head_interval{
      500};  ///< how often the storage's head is read when nothing is written
};

/// Reads and folds the whole log, verifies its chain and its signed heads; an error names the revision that
/// is wrong. The result must be destroyed on the strand or when the strand's context no longer runs;
/// proposals that are under way then are not answered.
Result<std::unique_ptr<ChangeLog>> make_change_log(ChangeLogConfig config);

}  // namespace cordon::controller
