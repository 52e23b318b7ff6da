#include "proto/audit.h"

#include <fmt/format.h>

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <istream>
#include <memory>
#include <ostream>

#include "base/files.h"
#include "cli/commands.h"

namespace cordon::cli {
namespace {

struct AuditOptions {
  std::uint64_t after = 0;
  std::size_t limit = 100;
  std::string file, against;
};

/// A member of a payload for people; empty: it says nothing to them.
std::string payload_text(const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_null()) return "";
  // No other number of a record is as large as a time in microseconds.
  if (value.is_int64() && value.get_int64() > 1'000'000'000'000'000)
    return local_time(from_us(value.get_int64()));
  if (!value.is_array()) return json::serialize(value);
  std::string out;
  for (const json::value& item : value.get_array()) {
    const std::string one = item.is_object() ? text(item.get_object(), "name") : payload_text(item);
    out += fmt::format("{}{}", out.empty() ? "" : ",", one.empty() ? "..." : one);
  }
  return out;
}

/// What a payload says, in one line; `cordon --json audit list` has all of it.
std::string summary(const json::object& record) {
  std::string out;
  for (const auto& member : part(record, "payload")) {
    std::string value =
        std::string_view(member.key()).starts_with("sealed_") ? "" : payload_text(member.value());
    if (value.empty()) continue;
    if (value.size() > 40) value = value.substr(0, 37) + "...";
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", std::string_view(member.key()), value);
    if (out.size() > 100) break;
  }
  return out;
}

Result<int> list_audit(Context& context, const AuditOptions& options) {
  return print_list(
      context, context.list(fmt::format("/v1/audit?after={}", options.after), options.limit),
      Table({"REVISION", "AT", "BY", "WHAT", "DETAILS"}),
      [](const json::object& record) -> std::vector<std::string> {
        return {std::to_string(number(record, "revision")), local_time(record, "at"),
                text(record, "actor_name"), text(record, "kind"), summary(record)};
      },
      "no records");
}

/// The same words for a log that the controller verified and for a file.
Result<int> tell(Context& context, const json::object& report) {
  const bool ok = flag(report, "ok");
  if (context.as_json) {
    context.print_json(report);
    return ok ? kOk : kFailed;
  }
  if (!ok) {
    return fail(ErrorCode::conflict,
                fmt::format("the log can't be relied on from revision {}: {}",
                            number(report, "fault_revision"), text(report, "fault")),
                number(report, "records") > 0 ? fmt::format("it is good up to {}", text(report, "checkpoint"))
                                              : std::string("no record of it is verified"));
  }
  context.env.out << fmt::format(
      "{} records are as they were written, none is missing; {} signed heads by {}\n",
      number(report, "records"), number(report, "heads"), joined(report, "signers"));
  context.env.out << fmt::format("checkpoint: {}\n", text(report, "checkpoint"));
  context.note(
      "keep the checkpoint elsewhere: `cordon audit verify --against CHECKPOINT` finds a log that was "
      "rewritten");
  return kOk;
}

Result<int> verify_file(Context& context, const AuditOptions& options) {
  if (context.target.ca_file.empty()) {
    return fail(ErrorCode::invalid, "a file is verified against the authority that signed it",
                "give --ca FILE, what `cordon ca` printed when the controller was trusted");
  }
  wire::AuditOptions audit;
  CORDON_ASSIGN(audit.trust_bundle_pem, read_file(context.target.ca_file, 1u << 20));
  if (!options.against.empty()) {
    CORDON_ASSIGN(audit.against, wire::Checkpoint::parse(options.against));
  }
  std::ifstream opened;
  if (options.file != "-") {
    opened.open(options.file);
    if (!opened) return fail(ErrorCode::io, fmt::format("can't open \"{}\"", options.file));
  }
  std::istream& in = options.file == "-" ? context.env.in : opened;
  wire::Auditor auditor(std::move(audit));
  for (std::string line; std::getline(in, line);) auditor.line(line);
  if (in.bad()) return fail(ErrorCode::io, fmt::format("can't read \"{}\"", options.file));
  const wire::AuditReport report = auditor.finish();
  json::array signers;
  for (const std::string& signer : report.signers) signers.emplace_back(signer);
  return tell(
      context,
      {{"ok", report.ok()},
       {"records", static_cast<std::int64_t>(report.records)},
       {"heads", static_cast<std::int64_t>(report.heads)},
       {"revision", static_cast<std::int64_t>(report.last.revision.value)},
       {"at", report.records > 0 ? json::value(format_rfc3339(report.last_at)) : json::value()},
       {"checkpoint", report.last.to_string()},
       {"signers", std::move(signers)},
       {"fault", report.fault ? report.fault->reason : ""},
       {"fault_revision", static_cast<std::int64_t>(report.fault ? report.fault->revision.value : 0)}});
}

Result<int> verify(Context& context, const AuditOptions& options) {
  if (!options.file.empty()) return verify_file(context, options);
  const std::string query = options.against.empty() ? "" : "?against=" + path_part(options.against);
  CORDON_ASSIGN(const json::object report,
                context.api("GET", "/v1/audit/verify" + query, nullptr, Seconds{600}));
  return tell(context, report);
}

/// Beside, and over `file` only when it is whole: an export that fails leaves an earlier one as it was. What
/// is no file (/dev/stdout, a pipe) is written as it is.
Result<> export_to(Context& context, const std::string& file) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  const bool beside = !fs::exists(status) || fs::is_regular_file(status);
  // Through a link, so that the link stays.
  const fs::path target = beside && fs::exists(status) ? fs::canonical(file, error) : fs::path(file);
  if (target.empty()) return fail(ErrorCode::io, fmt::format("can't write \"{}\"", file));
  const fs::path written = beside ? fs::path(target).concat(fmt::format(".{}.part", getpid())) : target;
  const auto stream = [&]() -> Result<> {
    std::ofstream out(written, std::ios::binary | std::ios::trunc);
    const auto write_failed = [&] { return fail(ErrorCode::io, fmt::format("can't write \"{}\"", file)); };
    if (!out) return write_failed();
    CORDON_TRY(context.api_stream("/v1/audit/export", [&](std::string_view piece) -> Result<> {
      if (!(out << piece)) return write_failed();
      return {};
    }));
    if (!out.flush()) return write_failed();
    std::error_code failed;
    if (beside) fs::rename(written, target, failed);
    return failed ? write_failed() : Result<>();
  };
  Result<> done = stream();
  if (!done && beside) fs::remove(written, error);
  return done;
}

Result<int> export_all(Context& context, const AuditOptions& options) {
  if (options.file.empty() || options.file == "-") {
    CORDON_TRY(context.api_stream("/v1/audit/export", [&context](std::string_view piece) -> Result<> {
      if (!(context.env.out << piece)) return fail(ErrorCode::io, "can't write to standard output");
      return {};
    }));
    return kOk;
  }
  CORDON_TRY(export_to(context, options.file));
  context.note(fmt::format("exported to {}; check it with `cordon audit verify {} --ca FILE`", options.file,
                           options.file));
  return kOk;
}

}  // namespace

void add_audit(CLI::App& program, Context& context) {
  CLI::App& audit = *family(program, "audit", "the change log: read it, verify it, export it");
  const auto options = std::make_shared<AuditOptions>();

  CLI::App* list_command =
      command(audit, "list", "who changed what, when", "cordon audit list --after 100 --limit 20");
  list_command->add_option("--after", options->after, "records after this revision")
      ->capture_default_str()
      ->check(whole_number(0));
  list_command->add_option("--limit", options->limit, "how many at most")
      ->capture_default_str()
      ->check(whole_number(1));
  does(list_command, context, [&context, options] { return list_audit(context, *options); });

  CLI::App* verify_command =
      command(audit, "verify", "is every record as it was written, and none missing?",
              "cordon audit verify\n"
              "cordon audit verify --against 17:4f1c...           # a checkpoint kept from an earlier run\n"
              "cordon audit verify export.jsonl --ca trust.pem    # without any controller");
  verify_command->add_option("FILE", options->file,
                             "an export; - is standard input; none: the controller's log");
  verify_command->add_option("--against", options->against, "REVISION:HASH that must be in the log");
  does(verify_command, context, [&context, options] { return verify(context, *options); });

  CLI::App* export_command = command(audit, "export", "all records and signed heads, one JSON object a line",
                                     "cordon audit export --output export.jsonl");
  export_command->add_option("--output", options->file, "file to write; default: standard output");
  does(export_command, context, [&context, options] { return export_all(context, *options); });
}

}  // namespace cordon::cli
