#include "node/netlink/close_timeout.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "node/filter/descriptor.h"

namespace cordon::node {

CloseTimeout::CloseTimeout(std::filesystem::path setting, std::filesystem::path memory)
    : setting_(std::move(setting)), memory_(std::move(memory)) {
  found_ = read_file(memory_).value_or(std::string{});
  restore();
}

CloseTimeout::~CloseTimeout() {
  restore();
}

void CloseTimeout::lower() {
  if (!found_.empty()) return;
  auto found = read_file(setting_);
  if (!found || found->empty() || *found == "0\n") return;
  if (const auto kept = write_file(memory_, *found, 0600); !kept)
    return log::warning("node.guard", "{}", kept.error().message());
  found_ = std::move(*found);
  write("0\n");
}

void CloseTimeout::restore() {
  if (found_.empty()) return;
  if (!write(found_)) return;  // it stays for the next try, or the next daemon
  found_.clear();
  std::error_code ec;
  std::filesystem::remove(memory_, ec);
}

/// In place: it is no file that could be renamed over.
bool CloseTimeout::write(const std::string& value) {
  const Descriptor file(::open(setting_.c_str(), O_WRONLY | O_CLOEXEC));
  const bool written =
      file && ::write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
  if (!written && !std::exchange(failed_, true))
    log::warning("node.guard",
                 "can't write {} ({}): who reads from an MPTCP socket that was cut is told later",
                 setting_.string(), std::strerror(errno));
  return written;
}

}  // namespace cordon::node
