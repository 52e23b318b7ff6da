#include "proto/log_record.h"

#include <fmt/format.h>

namespace cordon::wire {

// The bytes that are hashed: "cordon record 1" 0 revision(8) at_us(8) version(4) sized(actor) sized(kind)
// sized(payload) previous(32); integers big-endian, sized: 4-byte length, then the bytes.
Sha256 hash_of(const LogRecord& record) {
  constexpr std::string_view kLabel = "cordon record 1";
  Bytes text(kLabel.begin(), kLabel.end());
  put_u8(text, 0);
  put_u64(text, record.revision.value);
  put_u64(text, static_cast<std::uint64_t>(to_us(record.at)));
  put_u32(text, record.version);
  put_sized(text, std::string_view(record.actor));
  put_sized(text, std::string_view(record.kind));
  put_sized(text, std::string_view(record.payload));
  text.insert(text.end(), record.previous.begin(), record.previous.end());
  return sha256(text);
}

Result<> verify_link(const LogRecord& record, Revision after, const Sha256& after_hash, Timestamp after_at) {
  const auto revision = record.revision.value;
  if (revision != after.value + 1) {
    return fail(ErrorCode::conflict, fmt::format("revision {} is missing: revision {} follows on {}",
                                                 after.value + 1, revision, after.value));
  }
  if (record.previous != after_hash) {
    return fail(ErrorCode::conflict,
                fmt::format("revision {} doesn't follow on revision {}: its previous hash is another",
                            revision, after.value));
  }
  if (record.hash != hash_of(record)) {
    return fail(ErrorCode::conflict,
                fmt::format("revision {} was changed: its hash doesn't match", revision));
  }
  if (after.value != 0 && record.at <= after_at) {
    return fail(ErrorCode::conflict, fmt::format("revision {} isn't later than the one before", revision));
  }
  return {};
}

Result<> verify_chain(const std::vector<LogRecord>& records, Revision after, const Sha256& after_hash) {
  Sha256 hash = after_hash;
  auto at = Timestamp::min();
  for (const auto& record : records) {
    CORDON_TRY(verify_link(record, after, hash, at));
    after = record.revision;
    hash = record.hash;
    at = record.at;
  }
  return {};
}

}  // namespace cordon::wire
