#include "cli/terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace cordon::cli {
namespace {

constexpr std::size_t kLongest = 4096;

volatile std::sig_atomic_t caught = 0;

constexpr std::array kInterrupts = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/// Echo off. A signal that would end the program waits until the echo is on again.
class QuietTerminal {
 public:
  explicit QuietTerminal(int fd) : fd_(fd) {
    struct sigaction action{};
    action.sa_handler = [](int signal) { caught = signal; };  // without SA_RESTART: it ends the read
    for (std::size_t i = 0; i < kInterrupts.size(); ++i) sigaction(kInterrupts[i], &action, &before_[i]);
    if (tcgetattr(fd_, &saved_) != 0) return;
    termios quiet = saved_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ECHONL | ICANON;
    changed_ = tcsetattr(fd_, TCSAFLUSH, &quiet) == 0;
  }
  ~QuietTerminal() {
    if (changed_) tcsetattr(fd_, TCSAFLUSH, &saved_);
    for (std::size_t i = 0; i < kInterrupts.size(); ++i) sigaction(kInterrupts[i], &before_[i], nullptr);
    if (caught != 0) raise(caught);
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;

 private:
  int fd_;
  termios saved_{};
  std::array<struct sigaction, kInterrupts.size()> before_{};
  bool changed_ = false;
};

Result<std::string> read_line(int fd) {
  std::string line;
  while (line.size() < kLongest && caught == 0) {
    char c = 0;
    const ssize_t n = ::read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (c == '\n') return line;
    line += c;
  }
  return fail(ErrorCode::invalid, "nothing was typed");
}

}  // namespace

Result<std::string> prompt_on_terminal(std::string_view prompt, bool secret) {
  const int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    return fail(ErrorCode::invalid, "there is no terminal to ask at", "see --help for what scripts give");
  }
  Result<std::string> line = fail(ErrorCode::io, "the terminal can't be written to");
  if (::write(fd, prompt.data(), prompt.size()) == static_cast<ssize_t>(prompt.size())) {
    if (secret) {
      const QuietTerminal quiet(fd);
      line = read_line(fd);
    } else {
      line = read_line(fd);
    }
  }
  ::close(fd);
  return line;
}

}  // namespace cordon::cli
