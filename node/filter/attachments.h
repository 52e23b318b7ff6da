#pragma once
// All places where the programs of one instance are attached.

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "node/filter/attachment.h"
#include "node/filter/objects.h"

namespace cordon::node {

class Attachments {
 public:
  Attachments(std::filesystem::path pin_directory, std::filesystem::path cgroup);

  /// Both directions of the overlay interface; of an interface held before, the old ones go.
  Result<> overlay(const Objects& objects, unsigned ifindex);
  /// Both directions of exactly these; pins of others, also of an earlier process, go. One that fails keeps
  /// none of the rest from being guarded; the first error is told.
  Result<> underlay(const Objects& objects, const std::vector<unsigned>& ifindexes);
  /// The connect hook, when a cgroup was named.
  Result<> connect_hook(const Objects& objects);

  /// True when the link of an earlier process still guards the overlay.
  bool overlay_is_pinned() const;

  /// What is wrong; what can be mended is mended. `other` gives a second instance of the programs, for a
  /// place where ours must be put in front again; not more than a few times a minute, as whoever puts himself
  /// there may do so again at once.
  std::vector<std::string> check(const Objects& objects, const std::function<const Objects*()>& other);

  Result<> detach_all();

 private:
  struct Place {
    TcAttachment attachment;
    std::string program;
    std::deque<std::chrono::steady_clock::time_point> moves;  ///< to the front, within the last minute
  };
  Result<Place> attach(const Objects& objects, const std::string& kind, unsigned ifindex, tcx::Hook hook,
                       const std::string& pin_name);
  std::string mend(Place& place, const Objects& objects, const std::function<const Objects*()>& other);
  std::string move_first(Place& place, const Objects& objects, const std::function<const Objects*()>& other);
  void drop_stale_guards(const std::vector<unsigned>& keep);

  std::filesystem::path pins_, cgroup_;
  std::vector<Place> overlay_;
  std::map<unsigned, std::vector<Place>> underlay_;
  std::vector<std::pair<CgroupAttachment, std::string>> hooks_;
};

}  // namespace cordon::node
