#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/clients.h"

namespace cordon::cli {
namespace {

constexpr std::size_t kMaxLine = 1u << 20;
constexpr int kTimeoutSeconds = 30;

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

class SocketNodeClient final : public NodeClient {
 public:
  explicit SocketNodeClient(std::string path) : path_(std::move(path)) {}

  Result<std::string> ask(std::string_view line) override {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof(address.sun_path)) return unreachable("the path is too long");
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const Descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (socket.fd < 0) return unreachable(std::strerror(errno));
    const timeval timeout{.tv_sec = kTimeoutSeconds, .tv_usec = 0};
    setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(socket.fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(socket.fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return unreachable(std::strerror(errno));
    }
    const std::string request = fmt::format("{}\n", line);
    for (std::size_t sent = 0; sent < request.size();) {
      const ssize_t n = send(socket.fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return unreachable(std::strerror(errno));
      sent += static_cast<std::size_t>(n);
    }
    return read_line(socket.fd);
  }

 private:
  Result<std::string> read_line(int fd) const {
    std::string answer;
    while (answer.size() < kMaxLine) {
      char buffer[4096];
      const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return unreachable("no answer within 30 s");
      if (n <= 0) return unreachable(n == 0 ? "it closed the connection" : std::strerror(errno));
      answer.append(buffer, static_cast<std::size_t>(n));
      if (const std::size_t end = answer.find('\n'); end != std::string::npos) {
        answer.resize(end);
        return answer;
      }
    }
    return unreachable("its answer is too long");
  }

  std::unexpected<Error> unreachable(std::string_view why) const {
    return fail(
        ErrorCode::unavailable, fmt::format("can't reach the node at {}: {}", path_, why),
        "is cordon-node running on this device? --node-socket or CORDON_NODE_SOCKET names its socket");
  }

  std::string path_;
};

}  // namespace

std::unique_ptr<NodeClient> make_node_client(std::string socket) {
  return std::make_unique<SocketNodeClient>(std::move(socket));
}

}  // namespace cordon::cli
