// What is done to the filter while nothing changes, and its end.

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "node/filter/kernel_filter.h"
#include "node/filter/sweep.h"

namespace cordon::node {

std::vector<std::string> KernelFilter::check() {
  const Use use(in_use_);
  std::vector<std::string> found = objects_->repin_maps();
  found.insert(found.end(), objects_->notes().begin(), objects_->notes().end());
  const auto other = [this]() -> const Objects* {
    if (!other_) {
      auto loaded = objects_->again();
      if (loaded) other_ = std::move(*loaded);
    }
    return other_.get();
  };
  for (std::string& line : attachments_.check(*objects_, other)) found.push_back(std::move(line));
  if (const std::uint64_t lost = counts_lost(); lost > std::exchange(counts_lost_, lost))
    found.emplace_back(
        "packets are not counted by their rules, as there are too many: raise 'rule_counters' in "
        "[filter.maps] of node.toml");
  if (auto swept = sweep_when_due(); !swept) found.push_back(swept.error().message());
  return found;
}

Result<> KernelFilter::sweep_when_due() {
  const BootNs now = system_clock().boot_ns();
  const int program = objects_->program("sweep");
  if (now - swept_ns_ < static_cast<BootNs>(std::chrono::nanoseconds(kSweepInterval).count())) {
    if (untold_ == 0) return {};
    CORDON_ASSIGN(const cordon_sweep told, tell_denials(program, kSweepTimes));
    untold_ = told.untold;
    return {};
  }
  swept_ns_ = now;
  CORDON_ASSIGN(const cordon_sweep done, sweep(program, kSweepTimes));
  lost_in_sweeps_ += done.events_lost;
  untold_ = done.untold;
  return forget_gone_rules();
}

void KernelFilter::forget_rules(const std::vector<RuleId>& rules) {
  const Use use(in_use_);
  for (const RuleId rule : rules) {
    bpf_map_delete_elem(objects_->map("rule_counters"), &rule.value);
    gone_rules_.insert(rule);
  }
}

Result<> KernelFilter::forget_gone_rules() {
  const Use use(in_use_);
  if (gone_rules_.empty()) return {};
  // Read first: what leaves the cache afterwards is still known to be gone at the next sweep.
  CORDON_ASSIGN(const auto cached, cached_rules());
  for (auto it = gone_rules_.begin(); it != gone_rules_.end();) {
    bpf_map_delete_elem(objects_->map("rule_counters"), &it->value);
    it = cached.contains(*it) ? std::next(it) : gone_rules_.erase(it);
  }
  return {};
}

Result<> KernelFilter::remove_all() {
  CORDON_TRY(attachments_.detach_all());
  std::error_code error;
  std::vector<std::filesystem::path> pins;
  for (const auto& entry : std::filesystem::directory_iterator(config_.pin_directory, error))
    pins.push_back(entry);
  for (const auto& pin : pins)
    if (::unlink(pin.c_str()) != 0) return fail_errno(fmt::format("can't remove '{}'", pin.string()), errno);
  ::rmdir(config_.pin_directory.c_str());  // its parent may belong to root: then it stays, empty
  return {};
}

}  // namespace cordon::node
