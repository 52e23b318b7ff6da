// The lines of an export: written and read.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <limits>

#include "proto/audit.h"
#include "proto/canonical_json.h"

namespace cordon::wire {

namespace {

namespace json = boost::json;

constexpr std::int64_t kMaxInteger = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxLineBytes = 256u << 20;  // a policy of 64 MiB, escaped
constexpr std::size_t kMaxSignerBytes = 256 * 1024;

std::string line_of(std::string_view what, json::object content) {
  return canonical(json::object{{json::string_view(what.data(), what.size()), std::move(content)}}) + "\n";
}

LogRecord read_record(Fields& f) {
  LogRecord record;
  record.actor = f.text("actor", 255, 0);
  record.at = from_us(f.integer("at", std::numeric_limits<std::int64_t>::min(), kMaxInteger));
  record.hash = f.hex32("hash");
  record.kind = f.text("kind", 255, 0);
  record.payload = f.text("payload", kMaxLineBytes, 0);
  record.previous = f.hex32("previous");
  record.revision = Revision(static_cast<std::uint64_t>(f.integer("revision", 1, kMaxInteger)));
  record.version =
      static_cast<std::uint32_t>(f.integer("version", 0, std::numeric_limits<std::uint32_t>::max()));
  return record;
}

}  // namespace

std::string ExportWriter::record(const LogRecord& record) {
  return line_of("record", {{"actor", record.actor},
                            {"at", to_us(record.at)},
                            {"hash", to_hex(record.hash)},
                            {"kind", record.kind},
                            {"payload", record.payload},
                            {"previous", to_hex(record.previous)},
                            {"revision", record.revision.value},
                            {"version", record.version}});
}

std::string ExportWriter::head(const LogHead& head) {
  const auto signer = to_hex(sha256(as_bytes(head.signer_pem)));
  std::string out;
  if (told_.insert(signer).second) out = line_of("signer", {{"id", signer}, {"pem", head.signer_pem}});
  return out + line_of("head", {{"hash", to_hex(head.hash)},
                                {"revision", head.revision.value},
                                {"signature", to_base64(head.signature)},
                                {"signer", signer}});
}

Result<ExportLine> ExportReader::read(std::string_view line) {
  if (line.size() > kMaxLineBytes) return fail(ErrorCode::invalid, "the line is too long");
  CORDON_ASSIGN(const auto value, parse_json(line));
  const auto* object = value.if_object();
  if (object == nullptr || object->size() != 1) {
    return fail(ErrorCode::invalid,
                "a line must be an object with one of \"record\", \"head\" and \"signer\"");
  }
  // One text for each meaning: what isn't as we write it was written by somebody else.
  if (canonical(value) != line) return fail(ErrorCode::invalid, "the line isn't in its canonical form");
  const std::string what(object->begin()->key());
  Fields fields(object->begin()->value(), what);
  ExportLine out;
  if (what == "record") {
    out.record = read_record(fields);
    CORDON_TRY(fields.finish());
  } else if (what == "head") {
    LogHead head;
    head.hash = fields.hex32("hash");
    head.revision = Revision(static_cast<std::uint64_t>(fields.integer("revision", 1, kMaxInteger)));
    head.signature = fields.base64("signature", 1, 1024);
    const auto signer = signers_.find(fields.text("signer", 64, 64));
    CORDON_TRY(fields.finish());
    if (signer == signers_.end()) return fail(ErrorCode::invalid, "the head's signer isn't told before it");
    head.signer_pem = signer->second;
    out.head = std::move(head);
  } else if (what == "signer") {
    auto id = fields.text("id", 64, 64);
    auto pem = fields.text("pem", kMaxSignerBytes);
    CORDON_TRY(fields.finish());
    if (id != to_hex(sha256(as_bytes(pem))))
      return fail(ErrorCode::invalid, "the signer's id isn't its certificate's");
    signers_.insert_or_assign(std::move(id), std::move(pem));
  } else {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is unknown", what));
  }
  return out;
}

}  // namespace cordon::wire
