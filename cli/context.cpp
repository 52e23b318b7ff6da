#include "cli/context.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <istream>
#include <ostream>

#include "base/files.h"
#include "cli/table.h"
#include "policy/model.h"

namespace cordon::cli {
namespace {

ErrorCode code_of(unsigned status) {
  switch (status) {
    case 401:
      return ErrorCode::unauthorized;
    case 403:
      return ErrorCode::forbidden;
    case 404:
      return ErrorCode::not_found;
    case 409:
      return ErrorCode::conflict;
    case 429:
      return ErrorCode::exhausted;
    case 503:
      return ErrorCode::unavailable;
    default:
      return status < 500 ? ErrorCode::invalid : ErrorCode::internal;
  }
}

Result<json::object> parse_answer(std::string_view body, std::string_view whose) {
  json::error_code error;
  json::value value = json::parse(body, error);
  if (error || !value.is_object()) {
    return fail(ErrorCode::protocol, fmt::format("{} answer is not JSON", whose),
                "are `cordon` and the daemon of the same version?");
  }
  return std::move(value.get_object());
}

Error problem(const ApiReply& reply) {
  const auto document = parse_answer(reply.body, "the controller's");
  if (!document || text(*document, "detail").empty()) {
    return Error{code_of(reply.status), fmt::format("the controller answered with status {}", reply.status)};
  }
  return Error{code_of(reply.status), text(*document, "detail"), text(*document, "hint")};
}

}  // namespace

Result<json::object> Context::api(std::string_view method, std::string_view target_path,
                                  const json::object* body, Seconds timeout) {
  CORDON_ASSIGN(const auto client, env.connect(target));
  const auto reply =
      client->call(method, target_path, body == nullptr ? "" : json::serialize(*body), timeout, {});
  if (!reply) {
    unreachable = true;
    return std::unexpected(reply.error());
  }
  if (reply->status >= 300) return std::unexpected(problem(*reply));
  return parse_answer(reply->body, "the controller's");
}

Result<> Context::api_stream(std::string_view target_path, const ApiClient::Sink& sink) {
  CORDON_ASSIGN(const auto client, env.connect(target));
  bool sink_failed = false;
  const auto reply = client->call("GET", target_path, "", Seconds{60}, [&](std::string_view piece) {
    Result<> taken = sink(piece);
    sink_failed = !taken;
    return taken;
  });
  if (!reply) {
    unreachable = !sink_failed;
    return std::unexpected(reply.error());
  }
  if (reply->status >= 300) return std::unexpected(problem(*reply));
  return {};
}

Result<std::vector<json::object>> Context::list(std::string target_path, std::size_t most) {
  std::vector<json::object> all;
  const char join = target_path.find('?') == std::string::npos ? '?' : '&';
  std::string after;
  while (all.size() < most) {
    const std::string page =
        fmt::format("{}{}limit={}{}", target_path, join, std::min<std::size_t>(1000, most - all.size()),
                    after.empty() ? "" : "&after=" + path_part(after));
    CORDON_ASSIGN(const json::object answer, api("GET", page));
    for (const json::value& item : items(answer, "items")) {
      if (item.is_object()) all.push_back(item.get_object());
    }
    after = text(answer, "next");
    if (after.empty()) break;
  }
  return all;
}

Result<json::object> Context::ask_node(const json::object& request) {
  const auto line = env.node(node_socket)->ask(json::serialize(request));
  if (!line) {
    unreachable = true;
    return std::unexpected(line.error());
  }
  CORDON_ASSIGN(json::object answer, parse_answer(*line, "the node's"));
  if (flag(answer, "ok")) return answer;
  std::string hint = text(answer, "hint");
  const std::int64_t wait_ms = number(answer, "retry_after_ms");
  if (wait_ms > 0) {
    hint = fmt::format("{}{}try again in {} s", hint, hint.empty() ? "" : "; ", (wait_ms + 999) / 1000);
  }
  const std::string what = text(answer, "error");
  return fail(ErrorCode::forbidden, what.empty() ? "the node refused without a reason" : what, hint);
}

void Context::print_json(const json::object& object) {
  env.out << json::serialize(object) << '\n';
}

void Context::note(std::string_view text) {
  if (!as_json) env.err << text << '\n';
}

Result<Seconds> Wait::seconds() const {
  if (text.empty() || text == "0" || text == "0s") return Seconds{0};
  CORDON_ASSIGN(const Seconds wait, parse_duration(text));
  if (wait > Seconds{60})
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is too long", text), "give 60s at most");
  return wait;
}

Result<std::string> access_of(const std::string& typed) {
  const bool bare = !typed.empty() && typed.find_first_not_of("0123456789") == std::string::npos;
  const std::string text = bare ? "tcp/" + typed : typed == "ping" ? "icmp/8" : typed;
  const auto accesses = policy::parse_access(text);
  if (!accesses || accesses->size() != 1 || accesses->front().ports.first != accesses->front().ports.last) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is not a port", printable(typed)),
                "write 5432, tcp/5432, udp/53, icmp/8 or ping");
  }
  return text;
}

std::string path_part(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Result<std::string> read_secret(Context& context, const std::string& file) {
  std::string secret;
  if (file == "-") {
    if (!std::getline(context.env.in, secret)) return fail(ErrorCode::invalid, "standard input is empty");
  } else {
    CORDON_ASSIGN(secret, read_file(file, 4096));
    secret.resize(std::min(secret.find('\n'), secret.size()));
  }
  if (!secret.empty() && secret.back() == '\r') secret.pop_back();
  return secret;
}

std::string text(const json::object& object, std::string_view member) {
  const json::value* value = object.if_contains(member);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t number(const json::object& object, std::string_view member) {
  const json::value* value = object.if_contains(member);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

bool flag(const json::object& object, std::string_view member) {
  const json::value* value = object.if_contains(member);
  return value != nullptr && value->is_bool() && value->get_bool();
}

const json::array& items(const json::object& object, std::string_view member) {
  static const json::array kNone;
  const json::value* value = object.if_contains(member);
  return value != nullptr && value->is_array() ? value->get_array() : kNone;
}

const json::object& part(const json::object& object, std::string_view member) {
  static const json::object kNone;
  const json::value* value = object.if_contains(member);
  return value != nullptr && value->is_object() ? value->get_object() : kNone;
}

std::string joined(const json::object& object, std::string_view member, std::string_view by) {
  std::string out;
  for (const json::value& item : items(object, member)) {
    if (!item.is_string()) continue;
    if (!out.empty()) out += by;
    out += std::string_view(item.get_string());
  }
  return out;
}

std::string local_time(Timestamp at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::floor<Seconds>(at));
  std::tm fields{};
  char buffer[32];
  if (localtime_r(&seconds, &fields) == nullptr ||
      std::strftime(buffer, sizeof(buffer), "%F %T", &fields) == 0)
    return "-";
  return buffer;
}

std::string local_time(const json::object& object, std::string_view member) {
  const auto at = parse_rfc3339(text(object, member));
  return at ? local_time(*at) : "-";
}

std::string with_local_times(std::string_view sentence) {
  std::string out;
  while (!sentence.empty()) {
    const std::string_view word = sentence.substr(0, sentence.find_first_of(" ,;"));
    const auto at = parse_rfc3339(word);
    out += at ? local_time(*at) : word;
    sentence.remove_prefix(word.size());
    if (sentence.empty()) break;
    out += sentence.front();
    sentence.remove_prefix(1);
  }
  return out;
}

}  // namespace cordon::cli
