#pragma once
// The node's session with a controller: connects, proves itself, says Hello, keeps the heart beating, and
// starts over with growing, jittered waits. It understands Welcome, Busy and Goodbye; everything else it
// hands on.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/crypto.h"
#include "base/result.h"
#include "base/time.h"
#include "node/link/backoff.h"

namespace boost::asio {
class io_context;
}

namespace cordon::wire {
class Heartbeat;
class Hello;
class ToController;
class ToNode;
class Welcome;
}  // namespace cordon::wire

namespace cordon::node {

struct Credentials;

/// What a session tells its owner, on the io_context's thread.
class SessionHandler {
 public:
  virtual ~SessionHandler() = default;
  /// Read anew for each connection: certificates are renewed.
  virtual Result<Credentials> credentials() = 0;
  virtual void fill_hello(wire::Hello& hello) = 0;
  /// `sent_boot_ns` is set already.
  virtual void fill_heartbeat(wire::Heartbeat& heartbeat) = 0;
  /// `sent_boot_ns` is when the Hello was sent that this answers.
  virtual void connected(const wire::Welcome& welcome, BootNs sent_boot_ns) = 0;
  virtual void received(const wire::ToNode& message) = 0;
  /// Also after each try that failed.
  virtual void disconnected(const Error& why) = 0;
  /// The certificate has expired: what to ask for a new one with; sent instead of Hello.
  virtual Result<wire::ToController> renewal() = 0;
};

struct SessionLimits {
  std::chrono::milliseconds connect{10'000};
  std::chrono::milliseconds answer{10'000};         ///< Welcome after Hello
  std::chrono::milliseconds least_silence{15'000};  ///< nothing heard for this, or three heartbeats: dead
  std::chrono::milliseconds settled{5'000};  ///< a session that held this long starts the back-off over
  std::chrono::milliseconds most_told_wait{600'000};  ///< a controller may ask for no longer pause
  Seconds expired_grace{30 * 24 * 3600};              ///< an expired certificate still renews for so long
  BackoffLimits backoff;
};

struct SessionConfig {
  std::vector<Endpoint> controllers;
  SessionLimits limits;
};

class Session {
 public:
  /// `uniform` gives numbers in [0, 1) for the jitter.
  Session(boost::asio::io_context& io, SessionConfig config, const Clock& clock,
          std::function<double()> uniform, SessionHandler& handler);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();
  /// Ends the session and all tries; the handler hears nothing more.
  void stop();

  bool connected() const;
  /// False when not connected.
  bool send(const wire::ToController& message);
  /// A heartbeat now, out of turn.
  void beat();
  /// Heartbeats come at least this often from now on.
  void set_heartbeat_interval(std::chrono::milliseconds interval);
  /// Where to look from the next try on; one at least.
  void set_controllers(std::vector<Endpoint> controllers);
  /// Where the controller of this session, or of the last try, is.
  Endpoint controller() const;
  /// Lets the connection go and comes back at once, with the newest certificate.
  void reconnect();

 private:
  class Loop;
  std::shared_ptr<Loop> loop_;
};

}  // namespace cordon::node
