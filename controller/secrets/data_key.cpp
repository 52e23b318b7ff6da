#include "controller/secrets/data_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "controller/secrets/seal.h"

namespace cordon::controller {

namespace {

/// Written beside and linked into place: link(2) never replaces a key that is there already, write_file
/// would.
Result<> make_data_key(const std::filesystem::path& file) {
  const auto beside = std::filesystem::path(fmt::format("{}.new.{}", file.string(), to_hex(random_bytes(8))));
  CORDON_TRY(write_file(beside, to_hex(random_bytes(kSealKeyBytes)) + "\n", 0600));
  const int linked = ::link(beside.c_str(), file.c_str());
  const int error = errno;
  ::unlink(beside.c_str());
  if (linked != 0 && error != EEXIST)
    return fail_errno(fmt::format("can't make the data key {}", file.string()), error);
  const int folder =
      ::open(file.has_parent_path() ? file.parent_path().c_str() : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
}

}  // namespace

Result<Bytes> read_data_key(const std::filesystem::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) {
    return fail_errno(fmt::format("can't read the data key {}", file.string()), errno,
                      "restore it from your backup: without it no secret can be opened");
  }
  if ((status.st_mode & 077) != 0) {
    return fail(ErrorCode::forbidden, fmt::format("the data key {} can be read by others", file.string()),
                fmt::format("chmod 600 {}", file.string()));
  }
  CORDON_ASSIGN(auto text, read_file(file, 4096));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  auto key = from_hex(text);
  if (!key || key->size() != kSealKeyBytes) {
    return fail(ErrorCode::invalid, fmt::format("{} doesn't hold a data key", file.string()),
                "it must be 64 hexadecimal digits; restore it from your backup");
  }
  return key;
}

Result<Bytes> open_data_key(const std::filesystem::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0 && errno == ENOENT) CORDON_TRY(make_data_key(file));
  return read_data_key(file);
}

}  // namespace cordon::controller
