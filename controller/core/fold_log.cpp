#include "controller/core/fold_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "controller/world/kinds.h"

namespace cordon::controller {

namespace {

/// Adds records up to `until`; more are read when a batch reaches over the limit.
Result<> read_until(LogStore& store, Revision until, std::vector<Record>& records) {
  while (records.back().revision < until) {
    const auto missing = until.value - records.back().revision.value;
    CORDON_ASSIGN(auto more, store.read(records.back().revision, missing));
    if (more.empty()) {
      return fail(ErrorCode::io, fmt::format("revision {} is missing", records.back().revision.value + 1));
    }
    records.insert(records.end(), std::move_iterator(more.begin()), std::move_iterator(more.end()));
  }
  return {};
}

}  // namespace

Result<LogPart> read_part(LogStore& store, Revision after, const Sha256& hash, wire::HeadVerifier& verifier,
                          std::size_t limit) {
  LogPart part;
  CORDON_ASSIGN(part.records, store.read(after, limit));
  if (part.records.empty()) return part;
  auto next = after;
  const auto last_read = part.records.back().revision;
  while (next < last_read) {
    CORDON_ASSIGN(auto head, store.signed_head_at(Revision(next.value + 1)));
    if (!head)
      return fail(ErrorCode::conflict, fmt::format("no signed head covers revision {}", next.value + 1));
    CORDON_TRY(read_until(store, head->revision, part.records));
    const auto index = head->revision.value - part.records.front().revision.value;
    if (index >= part.records.size() || part.records[index].revision != head->revision) {
      return fail(ErrorCode::conflict, fmt::format("revision {} is missing", next.value + 1));
    }
    if (part.records[index].hash != head->hash) {
      return fail(ErrorCode::conflict,
                  fmt::format("the signed head of revision {} is of another record", head->revision.value));
    }
    CORDON_TRY(verifier.verify(*head, part.records[index].at));
    next = head->revision;
    part.head = std::move(*head);
  }
  CORDON_TRY(verify_chain(part.records, after, hash));
  return part;
}

std::uint32_t format_after(std::uint32_t before, const Record& record) {
  if (record.kind != "format raised") return before;
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  const auto* raised = kind ? std::get_if<kinds::FormatRaised>(&*kind) : nullptr;
  return raised == nullptr ? before : std::max(before, raised->format);
}

Result<Folded> fold_log(LogStore& store, wire::HeadVerifier& verifier, const Unsealer& unseal,
                        const TimeZones& zones) {
  Folded folded;
  auto& world = folded.world;
  for (;;) {
    auto part = read_part(store, world.revision, world.head, verifier);
    if (!part) return std::unexpected(in_context(std::move(part).error(), "reading the change log"));
    if (part->records.empty()) break;
    for (const auto& record : part->records) {
      CORDON_TRY(apply(world, record, unseal, zones));
      folded.policies.add(record, world);
      folded.format = format_after(folded.format, record);
    }
    folded.head = std::move(part->head);
  }
  CORDON_ASSIGN(const auto last, store.last_signed_head());
  if (last && last->revision != world.revision) {
    return fail(ErrorCode::conflict,
                fmt::format("the change log is cut: it ends at revision {}, but {} is signed",
                            world.revision.value, last->revision.value));
  }
  return folded;
}

}  // namespace cordon::controller
