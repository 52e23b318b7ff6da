#pragma once
// What the parts of one controller share. The runtime (controller/core/runtime.h) makes it and outlives all
// users. Order of making: everything but the two pointers, then Distribution, then Identity
// (make_identity(services), controller/identity/login.h), then the API (start_api(services),
// controller/api/api.h).

#include <boost/asio/any_io_executor.hpp>

#include "base/time.h"

namespace cordon::controller {

class Authority;
class ChangeLog;
class Distribution;
class Flows;
class Identity;
class LogStore;
class Metrics;
class Places;
class SecretStore;
struct ControllerConfig;

struct Services {
  boost::asio::any_io_executor
      strand;                       ///< the one writer: ChangeLog, Distribution and Identity are called on it
  boost::asio::any_io_executor io;  ///< for sockets; connections make strands of their own on it
  boost::asio::any_io_executor pool;  ///< long work (hashing passwords); posts back to `strand`
  const Clock& clock;
  const ControllerConfig& config;
  ChangeLog& log;
  LogStore& store;
  SecretStore& secrets;
  Authority& authority;
  Flows& flows;  ///< any thread; its work is done on threads of its own
  Metrics& metrics;
  const Places* places = nullptr;        ///< countries of addresses; null: nobody knows any
  Distribution* distribution = nullptr;  ///< set before any request is served
  Identity* identity = nullptr;          ///< set before any request is served
};

}  // namespace cordon::controller
