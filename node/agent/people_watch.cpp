#include "node/agent/people_watch.h"

#include <sys/stat.h>

#include "node/agent/people.h"

namespace cordon::node {

PeopleWatch::Stamp PeopleWatch::stamp(const std::filesystem::path& file) {
  struct stat info{};
  if (::stat(file.c_str(), &info) != 0) return {};
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = static_cast<std::uint64_t>(info.st_size),
          .changed_s = info.st_ctim.tv_sec,
          .changed_ns = info.st_ctim.tv_nsec};
}

Result<std::optional<std::vector<UidRange>>> PeopleWatch::look(const std::vector<UidRange>& known) {
  // Before they are read: a write in between shows at the next look.
  seen_ = {stamp(files_[0]), stamp(files_[1])};
  if (taken_ == seen_) return std::nullopt;
  CORDON_ASSIGN(auto people, people_of_machine(files_[0], files_[1]));
  if (people == known) return std::nullopt;
  return people;
}

}  // namespace cordon::node
