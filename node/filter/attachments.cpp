#include "node/filter/attachments.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "node/filter/clsact.h"
#include "node/filter/link_kind.h"
#include "node/filter/people_hooks.h"

namespace cordon::node {
namespace {

constexpr std::size_t kMostMoves = 3;  ///< to the front of one place, a minute

}  // namespace

Attachments::Attachments(std::filesystem::path pin_directory, std::filesystem::path cgroup, bool tcx_allowed)
    : pins_(std::move(pin_directory)), cgroup_(std::move(cgroup)), tcx_allowed_(tcx_allowed) {}

Result<Attachments::Place> Attachments::place(const std::string& kind, unsigned ifindex,
                                              tcx::Hook hook) const {
  CORDON_ASSIGN(const LinkKind link, link_kind(ifindex));
  if (link.header != LinkHeader::ethernet && link.header != LinkHeader::none)
    return fail(ErrorCode::invalid,
                fmt::format("can't read the packets of '{}', whose type is {}", link.name, link.type));
  return Place{.attachment = TcAttachment(link_pin(pins_, kind, ifindex, hook), ifindex, hook),
               .program = fmt::format("{}_{}{}", kind, hook_suffix(hook),
                                      link.header == LinkHeader::ethernet ? "_eth" : ""),
               .moves = {}};
}

Result<Attachments::Place> Attachments::attach(const Objects& objects, const std::string& kind,
                                               unsigned ifindex, tcx::Hook hook) const {
  CORDON_ASSIGN(Place out, place(kind, ifindex, hook));
  const int program = objects.program(out.program.c_str());
  CORDON_TRY(tcx_allowed_ ? out.attachment.attach(program) : out.attachment.attach_clsact(program));
  return out;
}

Result<> Attachments::overlay(const Objects& objects, unsigned ifindex) {
  std::vector<Place> places;
  // Egress first: what may not leave is stopped before anything may come in.
  for (tcx::Hook hook : {tcx::Hook::egress, tcx::Hook::ingress}) {
    CORDON_ASSIGN(Place place, attach(objects, "overlay", ifindex, hook));
    places.push_back(std::move(place));
  }
  overlay_ = std::move(places);
  drop_stale("overlay", {ifindex});
  return {};
}

Result<> Attachments::take_over_clsact(const Objects& objects, const PlacePin& pin) const {
  const auto filters = clsact::filters(pin.ifindex, pin.hook);
  if (!filters || std::ranges::none_of(*filters, [](const auto& f) { return clsact::is_ours(f.handle); }))
    return {};
  auto held = place(pin.kind, pin.ifindex, pin.hook);
  if (!held) return TcAttachment(pin.link_path(), pin.ifindex, pin.hook).detach();
  return held->attachment.attach_clsact(objects.program(held->program.c_str()));
}

Result<> Attachments::take_over_link(const Objects& objects, const PlacePin& pin) const {
  const Descriptor link(bpf_obj_get(pin.path.c_str()));
  tcx::LinkInfo info;
  if (!link || !tcx::link_info(link.get(), info)) return {};
  std::string program = pin.kind;
  if (pin.at_interface) {
    if (info.ifindex == 0) return {};  // its interface is gone
    const auto held = place(pin.kind, info.ifindex, pin.hook);
    program = held ? held->program : "";
  }
  const int fd = objects.program(program.c_str());
  if (fd < 0) {  // another version's hook, or at an interface that this one can't read
    ::unlink(pin.path.c_str());
    return {};
  }
  if (bpf_link_update(link.get(), fd, nullptr) == 0 || errno == ENOLINK) return {};
  return fail_errno(fmt::format("can't switch the program at '{}'", pin.path.string()), errno);
}

Result<> Attachments::take_over(const Objects& objects,
                                const std::function<void(std::string_view)>& after_step) const {
  auto pins = place_pins(pins_);
  // Egress first, as ever.
  std::ranges::stable_partition(
      pins, [](const PlacePin& pin) { return pin.at_interface && pin.hook == tcx::Hook::egress; });
  for (const PlacePin& pin : pins) {
    CORDON_TRY(pin.clsact ? take_over_clsact(objects, pin) : take_over_link(objects, pin));
    after_step("switched " + pin.path.filename().string());
  }
  return {};
}

void Attachments::drop_stale(std::string_view kind, const std::vector<unsigned>& keep) const {
  for (const PlacePin& pin : place_pins(pins_)) {
    if (pin.kind != kind || pin.ifindex == 0 || std::ranges::find(keep, pin.ifindex) != keep.end()) continue;
    if (auto gone = TcAttachment(pin.link_path(), pin.ifindex, pin.hook).detach(); !gone)
      log::warning("node.filter", "{}", gone.error().message());
  }
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
  if (!std::exchange(stale_guards_dropped_, true)) drop_stale("guard", ifindexes);
  for (unsigned ifindex : ifindexes) note(guard(objects, ifindex));
  return first;
}

Result<> Attachments::guard(const Objects& objects, unsigned ifindex) {
  std::vector<Place>& places = underlay_[ifindex];
  if (places.size() == 2) return {};
  CORDON_ASSIGN(const LinkKind link, link_kind(ifindex));
  if (link.header == LinkHeader::no_ip || (link.header == LinkHeader::unknown && !link.up)) return {};
  Result<> first;
  for (tcx::Hook hook : {tcx::Hook::egress, tcx::Hook::ingress}) {
    if (std::ranges::any_of(places, [&](const Place& held) { return held.attachment.hook() == hook; }))
      continue;
    auto place = attach(objects, "guard", ifindex, hook);
    if (place)
      places.push_back(std::move(*place));
    else if (first)
      first = std::unexpected(place.error());
  }
  return first;
}

Result<> Attachments::connect_hook(const Objects& objects) {
  if (cgroup_.empty()) {
    for (const PlacePin& pin : place_pins(pins_))
      if (!pin.at_interface) ::unlink(pin.path.c_str());
    return {};
  }
  if (hooks_.empty()) {
    hooks_.emplace_back(
        CgroupAttachment("the connect hook", pins_ / "link-connect_v4", cgroup_, BPF_CGROUP_INET4_CONNECT),
        "connect_v4");
    hooks_.emplace_back(
        CgroupAttachment("the connect hook", pins_ / "link-connect_v6", cgroup_, BPF_CGROUP_INET6_CONNECT),
        "connect_v6");
    for (auto& hook : people_hooks(pins_, cgroup_)) hooks_.push_back(std::move(hook));
  }
  for (auto& [hook, program] : hooks_) CORDON_TRY(hook.attach(objects.program(program.c_str())));
  return {};
}

Result<> Attachments::sockets(const Objects& objects, bool wanted) {
  if (cgroup_.empty() || (wanted && !sockets_.empty())) return {};
  Hooks hooks;
  hooks.emplace_back(
      CgroupAttachment("the sockets' guard", pins_ / "link-socket_out", cgroup_, BPF_CGROUP_INET_EGRESS),
      "socket_out");
  hooks.emplace_back(
      CgroupAttachment("the sockets' guard", pins_ / "link-socket_in", cgroup_, BPF_CGROUP_INET_INGRESS),
      "socket_in");
  if (!wanted) {
    for (auto& [hook, program] : hooks) hook.detach();
    sockets_.clear();
    return {};
  }
  sockets_ = std::move(hooks);
  Result<> first;
  for (auto& [hook, program] : sockets_)
    if (auto attached = hook.attach(objects.program(program.c_str())); !attached && first)
      first = std::move(attached);
  return first;
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

std::string Attachments::mend(Place& place, PlaceFault fault, const Objects& objects,
                              const std::function<const Objects*()>& other) {
  const auto attach = [&](const char* done) {
    char name[IF_NAMESIZE];
    if (::if_indextoname(place.attachment.ifindex(), name) == nullptr)
      return std::string(": the interface is gone");
    auto attached = place.attachment.attach(objects.program(place.program.c_str()));
    return ": " + (attached ? done : attached.error().message());
  };
  switch (fault) {
    case PlaceFault::none:
      return {};
    case PlaceFault::detached:
      return attach("attached again");
    case PlaceFault::replaced:
      return attach("put in its place again");
    case PlaceFault::not_first:
      return move_first(place, objects, other);
    case PlaceFault::not_pinned:
      place.attachment.repin();
      return place.attachment.fault() == PlaceFault::none ? ": pinned again" : ": it can't be";
  }
  return {};
}

std::vector<std::string> Attachments::check(const Objects& objects,
                                            const std::function<const Objects*()>& other) {
  std::vector<std::string> found;
  const auto look_at = [&](Place& place) {
    const PlaceFault fault = place.attachment.fault();
    if (fault == PlaceFault::none) return;
    const std::string said = place.attachment.describe(fault);
    found.push_back(said + mend(place, fault, objects, other));
  };
  for (Place& place : overlay_) look_at(place);
  for (auto& [ifindex, places] : underlay_)
    for (Place& place : places) look_at(place);
  look_at_hooks(hooks_, objects, found);
  look_at_hooks(sockets_, objects, found);
  return found;
}

void Attachments::look_at_hooks(Hooks& hooks, const Objects& objects, std::vector<std::string>& found) const {
  for (auto& [hook, program] : hooks) {
    auto fault = hook.fault();
    if (!fault) continue;
    hook.repin();
    const bool mended = !hook.fault() || hook.attach(objects.program(program.c_str()));
    found.push_back(*fault + (mended ? ": mended" : ""));
  }
}

Result<> Attachments::detach_all() {
  for (Place& place : overlay_) CORDON_TRY(place.attachment.detach());
  for (auto& [ifindex, places] : underlay_)
    for (Place& place : places) CORDON_TRY(place.attachment.detach());
  for (const PlacePin& pin : place_pins(pins_))
    if (pin.clsact) CORDON_TRY(TcAttachment(pin.link_path(), pin.ifindex, pin.hook).detach());
  overlay_.clear();
  underlay_.clear();
  hooks_.clear();
  sockets_.clear();
  return {};
}

}  // namespace cordon::node
