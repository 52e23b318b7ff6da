#include "node/tunnel/uapi_device.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "node/tunnel/uapi.h"

namespace cordon::node::wireguard {
namespace {

constexpr std::size_t kReplyLimit = 64u << 20;
constexpr std::ptrdiff_t kPeersAtOnce = 1000;

class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  Connection(Connection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Connection& operator=(Connection&&) = delete;
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Result<ucred> credentials_of(const Connection& connection) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(connection.fd(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return fail_errno("can't ask who listens", errno);
  }
  return credentials;
}

Result<Connection> connect_to(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() >= sizeof address.sun_path)
    return fail(ErrorCode::invalid, fmt::format("'{}' is too long", text));
  std::memcpy(address.sun_path, text.data(), text.size());
  Connection connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connection.fd() < 0) return fail_errno("can't open a UNIX socket", errno);
  const timeval wait{.tv_sec = 5, .tv_usec = 0};
  setsockopt(connection.fd(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  setsockopt(connection.fd(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (connect(connection.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int number = errno;
    return fail(number == EACCES ? ErrorCode::forbidden : ErrorCode::unavailable,
                fmt::format("can't connect to wireguard-go at {}: {}", text, std::strerror(number)));
  }
  // Whoever listens is given our private key.
  CORDON_ASSIGN(const ucred listener, credentials_of(connection));
  if (listener.uid != geteuid() && listener.uid != 0) {
    return fail(ErrorCode::forbidden, fmt::format("{} belongs to uid {}, not to us", text, listener.uid),
                fmt::format("the directory must be writable for uid {} alone", geteuid()));
  }
  return connection;
}

Result<std::string> ask_uapi(int fd, const std::filesystem::path& path, std::string_view request) {
  while (!request.empty()) {
    const ssize_t sent = send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail_errno(fmt::format("can't write to wireguard-go at {}", path.string()), errno);
    request.remove_prefix(static_cast<std::size_t>(sent));
  }
  std::string reply;
  std::array<char, 16384> part;
  // The connection stays open for more requests; a reply ends in an empty line.
  while (!reply.ends_with("\n\n")) {
    const ssize_t got = recv(fd, part.data(), part.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(fmt::format("no answer from wireguard-go at {}", path.string()), errno);
    if (got == 0)
      return fail(ErrorCode::unavailable, fmt::format("wireguard-go at {} hung up", path.string()));
    reply.append(part.data(), static_cast<std::size_t>(got));
    if (reply.size() > kReplyLimit) return fail(ErrorCode::protocol, "wireguard-go's reply has no end");
  }
  explicit_bzero(part.data(), part.size());
  return reply;
}

}  // namespace

void UapiDevice::hang_up() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Result<std::string> UapiDevice::converse(std::string_view request) {
  // Nobody may listen at the other end of a kept connection any more, while another one listens at the path.
  if (fd_ >= 0) {
    auto reply = ask_uapi(fd_, socket_, request);
    if (reply) return reply;
    hang_up();
  }
  CORDON_ASSIGN(auto connection, connect_to(socket_));
  auto reply = ask_uapi(connection.fd(), socket_, request);
  if (reply) fd_ = connection.release();
  return reply;
}

Result<DeviceState> UapiDevice::read() {
  CORDON_ASSIGN(auto reply, converse(kUapiGet));
  auto state = parse_uapi_get(reply);
  explicit_bzero(reply.data(), reply.size());  // it holds the private key
  return state;
}

Result<> UapiDevice::write(const DeviceChange& change) {
  // In portions: each is answered well within the time that we wait.
  DeviceChange portion{.private_key = change.private_key,
                       .listen_port = change.listen_port,
                       .firewall_mark = change.firewall_mark,
                       .peers = {}};
  auto next = change.peers.begin();
  do {
    const auto end = next + std::min<std::ptrdiff_t>(kPeersAtOnce, change.peers.end() - next);
    portion.peers.assign(next, end);
    next = end;
    std::string request = uapi_set(portion);
    auto reply = converse(request);
    explicit_bzero(request.data(), request.size());
    if (!reply) return std::unexpected(std::move(reply).error());
    CORDON_TRY(parse_uapi_set(*reply));
    portion = {};
  } while (next != change.peers.end());
  return {};
}

Result<pid_t> uapi_listener(const std::filesystem::path& socket) {
  CORDON_ASSIGN(auto connection, connect_to(socket));
  CORDON_ASSIGN(const ucred credentials, credentials_of(connection));
  return credentials.pid;
}

}  // namespace cordon::node::wireguard
