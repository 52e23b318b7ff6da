#include "node/filter/attachments.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cordon::node {
namespace {

constexpr std::string_view kGuardPin = "link-guard-";
constexpr std::size_t kMostMoves = 3;  ///< to the front of one place, a minute

const char* suffix(tcx::Hook hook) {
  return hook == tcx::Hook::ingress ? "in" : "out";
}

/// Do packets start with an Ethernet header where tc sees them?
Result<bool> has_ethernet_header(unsigned ifindex) {
  ifreq request{};
  if (::if_indextoname(ifindex, request.ifr_name) == nullptr)
    return fail_errno(fmt::format("there is no interface #{}", ifindex), errno);
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0)
    return fail_errno(fmt::format("can't ask interface '{}' for its type", request.ifr_name), errno);
  const unsigned type = request.ifr_hwaddr.sa_family;
  return type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK;
}

}  // namespace

Attachments::Attachments(std::filesystem::path pin_directory, std::filesystem::path cgroup)
    : pins_(std::move(pin_directory)), cgroup_(std::move(cgroup)) {}

Result<Attachments::Place> Attachments::attach(const Objects& objects, const std::string& kind,
                                               unsigned ifindex, tcx::Hook hook,
                                               const std::string& pin_name) {
  CORDON_ASSIGN(const bool ethernet, has_ethernet_header(ifindex));
  const std::string program = fmt::format("{}_{}{}", kind, suffix(hook), ethernet ? "_eth" : "");
  Place place{.attachment = TcAttachment(pins_ / pin_name, ifindex, hook), .program = program, .moves = {}};
  CORDON_TRY(place.attachment.attach(objects.program(program.c_str())));
  return place;
}

Result<> Attachments::overlay(const Objects& objects, unsigned ifindex) {
  std::vector<Place> places;
  // Egress first: what may not leave is stopped before anything may come in.
  for (tcx::Hook hook : {tcx::Hook::egress, tcx::Hook::ingress}) {
    CORDON_ASSIGN(Place place,
                  attach(objects, "overlay", ifindex, hook, fmt::format("link-overlay_{}", suffix(hook))));
    places.push_back(std::move(place));
  }
  overlay_ = std::move(places);
  return {};
}

bool Attachments::overlay_is_pinned() const {
  return ::access((pins_ / "link-overlay_in").c_str(), F_OK) == 0;
}

void Attachments::drop_stale_guards(const std::vector<unsigned>& keep) {
  std::error_code ignored;
  std::vector<std::filesystem::path> stale;
  for (const auto& entry : std::filesystem::directory_iterator(pins_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kGuardPin)) continue;
    const unsigned ifindex =
        static_cast<unsigned>(std::strtoul(name.c_str() + kGuardPin.size(), nullptr, 10));
    if (std::ranges::find(keep, ifindex) == keep.end()) stale.push_back(entry.path());
  }
  for (const auto& path : stale) ::unlink(path.c_str());
}

Result<> Attachments::underlay(const Objects& objects, const std::vector<unsigned>& ifindexes) {
  Result<> first;
  const auto note = [&first](auto&& result) {
    if (!result && first) first = std::unexpected(result.error());
  };
  for (auto it = underlay_.begin(); it != underlay_.end();) {
    if (std::ranges::find(ifindexes, it->first) != ifindexes.end()) {
      ++it;
      continue;
    }
    for (Place& place : it->second) note(place.attachment.detach());
    it = underlay_.erase(it);
  }
  drop_stale_guards(ifindexes);
  for (unsigned ifindex : ifindexes) {
    std::vector<Place> places;
    for (tcx::Hook hook : {tcx::Hook::egress, tcx::Hook::ingress}) {
      auto place =
          attach(objects, "guard", ifindex, hook, fmt::format("{}{}-{}", kGuardPin, ifindex, suffix(hook)));
      note(place);
      if (place) places.push_back(std::move(*place));
    }
    if (!places.empty()) underlay_[ifindex] = std::move(places);
  }
  return first;
}

Result<> Attachments::connect_hook(const Objects& objects) {
  if (cgroup_.empty()) return {};
  if (hooks_.empty()) {
    hooks_.emplace_back(CgroupAttachment(pins_ / "link-connect_v4", cgroup_, BPF_CGROUP_INET4_CONNECT),
                        "connect_v4");
    hooks_.emplace_back(CgroupAttachment(pins_ / "link-connect_v6", cgroup_, BPF_CGROUP_INET6_CONNECT),
                        "connect_v6");
  }
  for (auto& [hook, program] : hooks_) CORDON_TRY(hook.attach(objects.program(program.c_str())));
  return {};
}

std::string Attachments::move_first(Place& place, const Objects& objects,
                                    const std::function<const Objects*()>& other) {
  const auto now = std::chrono::steady_clock::now();
  while (!place.moves.empty() && now - place.moves.front() > std::chrono::minutes(1)) place.moves.pop_front();
  if (place.moves.size() >= kMostMoves) return ": left so for now, as another program keeps coming first";
  // A program stands once in a chain: the instance that isn't there is put in front.
  const char* name = place.program.c_str();
  const bool ours = place.attachment.program_id() == tcx::program_id(objects.program(name));
  const Objects* next = ours ? other() : &objects;
  if (next == nullptr) return ": the programs can't be loaded again";
  place.moves.push_back(now);
  auto moved = place.attachment.move_first(next->program(name));
  return moved ? ": put first again" : ": " + moved.error().message();
}

std::string Attachments::mend(Place& place, const Objects& objects,
                              const std::function<const Objects*()>& other) {
  if (!place.attachment.is_attached()) {
    char name[IF_NAMESIZE];
    if (::if_indextoname(place.attachment.ifindex(), name) == nullptr) return ": the interface is gone";
    auto attached = place.attachment.attach(objects.program(place.program.c_str()));
    return attached ? ": attached again" : ": " + attached.error().message();
  }
  place.attachment.repin();
  if (!place.attachment.fault()) return ": pinned again";
  return move_first(place, objects, other);
}

std::vector<std::string> Attachments::check(const Objects& objects,
                                            const std::function<const Objects*()>& other) {
  std::vector<std::string> found;
  const auto look_at = [&](Place& place) {
    if (auto fault = place.attachment.fault()) found.push_back(*fault + mend(place, objects, other));
  };
  for (Place& place : overlay_) look_at(place);
  for (auto& [ifindex, places] : underlay_)
    for (Place& place : places) look_at(place);
  for (auto& [hook, program] : hooks_) {
    auto fault = hook.fault();
    if (!fault) continue;
    hook.repin();
    const bool mended = !hook.fault() || hook.attach(objects.program(program.c_str()));
    found.push_back(*fault + (mended ? ": mended" : ""));
  }
  return found;
}

Result<> Attachments::detach_all() {
  for (Place& place : overlay_) CORDON_TRY(place.attachment.detach());
  for (auto& [ifindex, places] : underlay_)
    for (Place& place : places) CORDON_TRY(place.attachment.detach());
  overlay_.clear();
  underlay_.clear();
  hooks_.clear();
  return {};
}

}  // namespace cordon::node
