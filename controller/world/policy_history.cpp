#include "controller/world/policy_history.h"

#include "controller/world/kinds.h"

namespace cordon::controller {

void PolicyHistory::confirm(PolicyEntry& entry, const PolicyMark& mark) {
  if (const auto before = entries_.find(confirmed_); before != entries_.end()) {
    before->second.replaced = mark;
    before->second.replaced_by = entry.applied.revision;
  }
  entry.confirmed = mark;
  confirmed_ = entry.applied.revision;
}

void PolicyHistory::add(const Record& record, const policy::World& world) {
  if (!record.kind.starts_with("policy ")) return;
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  if (!kind) return;  // the fold told
  const PolicyMark mark{.revision = record.revision, .at = record.at, .actor = record.actor};
  // A record that was overtaken changed nothing; the world tells.
  if (const auto* applied = std::get_if<kinds::PolicyApplied>(&*kind)) {
    if (world.policy_revision != record.revision) return;
    auto& entry = entries_[record.revision];
    entry.applied = mark;
    entry.files = applied->files.size();
    entry.confirm_by = applied->confirm_by;
    entry.tzdata = applied->tzdata;
    if (!world.pending) confirm(entry, mark);
    return;
  }
  const auto undecided = [this](Revision revision) -> PolicyEntry* {
    const auto found = entries_.find(revision);
    const bool open = found != entries_.end() && !found->second.confirmed && !found->second.undone;
    return open ? &found->second : nullptr;
  };
  if (world.pending) return;
  if (const auto* confirmed = std::get_if<kinds::PolicyConfirmed>(&*kind)) {
    if (auto* entry = undecided(confirmed->revision)) confirm(*entry, mark);
  }
  if (const auto* back = std::get_if<kinds::PolicyRolledBack>(&*kind)) {
    if (auto* entry = undecided(back->revision)) {
      entry->undone = mark;
      entry->reason = back->reason;
    }
  }
}

const PolicyEntry* PolicyHistory::find(Revision revision) const {
  const auto found = entries_.find(revision);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string_view state_of(const PolicyEntry& entry, const policy::World& world) {
  if (entry.undone) return "rolled back";
  if (entry.replaced) return "superseded";
  if (!entry.confirmed) return "pending";
  return world.policy_revision == entry.applied.revision ? "in force" : "confirmed";
}

}  // namespace cordon::controller
