#pragma once
// All places where the programs of one instance are attached.

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "node/filter/attachment.h"
#include "node/filter/objects.h"
#include "node/filter/place_pins.h"

namespace cordon::node {

class Attachments {
 public:
  /// `tcx_allowed`: false for a kernel without it, or to do as on one.
  Attachments(std::filesystem::path pin_directory, std::filesystem::path cgroup, bool tcx_allowed);

  /// Switches whatever an earlier process attached to these programs, each in one step, egress first.
  Result<> take_over(const Objects& objects, const std::function<void(std::string_view)>& after_step) const;

  /// Both directions of the overlay interface; of an interface held before, the old ones go.
  Result<> overlay(const Objects& objects, unsigned ifindex);
  /// Both directions of exactly these; pins of others, also of an earlier process, go. What is held already
  /// is left to `check`, which tells what was done to it. One that fails, or whose packets can't be read,
  /// keeps none of the rest from being guarded; the first error is told.
  Result<> underlay(const Objects& objects, const std::vector<unsigned>& ifindexes);
  /// The connect hook, when a cgroup was named.
  Result<> connect_hook(const Objects& objects);

  /// The guard at the cgroup's sockets, whatever interface they use; when not `wanted`, also an earlier
  /// process's goes. One that can't be attached is tried again by `check`.
  Result<> sockets(const Objects& objects, bool wanted);

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
  /// An error where packets can't be read.
  Result<Place> place(const std::string& kind, unsigned ifindex, tcx::Hook hook) const;
  Result<> guard(const Objects& objects, unsigned ifindex);
  Result<Place> attach(const Objects& objects, const std::string& kind, unsigned ifindex,
                       tcx::Hook hook) const;
  Result<> take_over_clsact(const Objects& objects, const PlacePin& pin) const;
  Result<> take_over_link(const Objects& objects, const PlacePin& pin) const;
  std::string mend(Place& place, PlaceFault fault, const Objects& objects,
                   const std::function<const Objects*()>& other);
  std::string move_first(Place& place, const Objects& objects, const std::function<const Objects*()>& other);
  /// Lets go of what earlier processes attached at other interfaces than these.
  void drop_stale(std::string_view kind, const std::vector<unsigned>& keep) const;

  std::filesystem::path pins_, cgroup_;
  bool tcx_allowed_ = true;
  std::vector<Place> overlay_;
  std::map<unsigned, std::vector<Place>> underlay_;
  bool stale_guards_dropped_ = false;
  using Hooks = std::vector<std::pair<CgroupAttachment, std::string>>;  ///< with the program's name
  void look_at_hooks(Hooks& hooks, const Objects& objects, std::vector<std::string>& found) const;
  Hooks hooks_, sockets_;
};

}  // namespace cordon::node
