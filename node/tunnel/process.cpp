#include "node/tunnel/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fstream>
#include <thread>

namespace cordon::node::wireguard {
namespace {

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (true) {
    const auto begin = text.find_first_not_of(" \n");
    if (begin == std::string_view::npos) return out;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(" \n"), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

template <class T>
std::optional<T> whole_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string stat_line(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Behind the name: state, ppid, ...; the state is the first.
std::vector<std::string_view> fields_behind_name(std::string_view line) {
  const auto bracket = line.rfind(')');
  if (bracket == std::string_view::npos) return {};
  return words(line.substr(bracket + 1));
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

/// Only calls that are safe between fork and exec (signal-safety(7)).
[[noreturn]] void become(char* const* argv, char* const* environment, int report) {
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDWR);
  struct stat error_file{};
  const bool pipe = fstat(STDERR_FILENO, &error_file) != 0 || S_ISFIFO(error_file.st_mode);
  if (null >= 0) {
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (pipe) dup2(null, STDERR_FILENO);
  }
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  execvpe(argv[0], argv, environment);
  const int number = errno;
  [[maybe_unused]] const ssize_t written = write(report, &number, sizeof number);
  _exit(127);
}

}  // namespace

std::string to_text(const ProcessId& process) {
  return fmt::format("{} {}\n", process.pid, process.start_ticks);
}

std::optional<ProcessId> parse_process(std::string_view text) {
  const auto parts = words(text);
  if (parts.size() != 2) return std::nullopt;
  const auto pid = whole_number<pid_t>(parts[0]);
  const auto start = whole_number<std::uint64_t>(parts[1]);
  if (!pid || *pid <= 1 || !start) return std::nullopt;
  return ProcessId{*pid, *start};
}

std::optional<std::uint64_t> parse_start_ticks(std::string_view line) {
  const auto fields = fields_behind_name(line);
  constexpr std::size_t kStart = 22 - 3;  // the first field behind the name is number 3
  if (fields.size() <= kStart) return std::nullopt;
  return whole_number<std::uint64_t>(fields[kStart]);
}

std::optional<ProcessId> find_process(pid_t pid) {
  const std::string line = stat_line(pid);
  const auto fields = fields_behind_name(line);
  if (fields.empty() || fields[0] == "Z" || fields[0] == "X") return std::nullopt;
  const auto start = parse_start_ticks(line);
  if (!start) return std::nullopt;
  return ProcessId{pid, *start};
}

bool is_running(const ProcessId& process) {
  if (process.pid <= 1) return false;
  if (find_process(process.pid) == process) return true;
  waitpid(process.pid, nullptr, WNOHANG);  // ECHILD when it is not our child: it was adopted
  return false;
}

Result<ProcessId> start_detached(const std::vector<std::string>& argv,
                                 const std::vector<std::string>& environment) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return fail_errno("can't make a pipe", errno);
  const auto argument_pointers = pointers(argv), environment_pointers = pointers(environment);
  const pid_t pid = fork();
  if (pid == 0) become(argument_pointers.data(), environment_pointers.data(), report[1]);
  const int fork_error = errno;
  close(report[1]);
  if (pid < 0) {
    close(report[0]);
    return fail_errno("can't start a process", fork_error);
  }
  int exec_error = 0;
  ssize_t got;
  do got = read(report[0], &exec_error, sizeof exec_error);
  while (got < 0 && errno == EINTR);
  close(report[0]);
  if (got == sizeof exec_error) {
    waitpid(pid, nullptr, 0);
    return fail_errno(fmt::format("can't run '{}'", argv[0]), exec_error);
  }
  auto process = find_process(pid);
  if (!process) {
    waitpid(pid, nullptr, WNOHANG);
    return fail(ErrorCode::unavailable, fmt::format("'{}' ended at once", argv[0]));
  }
  return *process;
}

void stop_process(const ProcessId& process) {
  using Clock = std::chrono::steady_clock;
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (!is_running(process) || kill(process.pid, signal) != 0) return;
    for (const auto end = Clock::now() + std::chrono::seconds(5);
         is_running(process) && Clock::now() < end;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

}  // namespace cordon::node::wireguard
