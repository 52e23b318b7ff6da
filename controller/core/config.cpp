#include "controller/core/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <sstream>

#include <toml++/toml.h>

#include "base/files.h"

namespace cordon::controller {

namespace {

constexpr std::size_t kMaxConfigBytes = 1u << 20;

Error at(std::string_view file, const toml::source_position& place, std::string what, std::string hint = {}) {
  return {.code = ErrorCode::invalid,
          .what = fmt::format("{}:{}:{}: {}", file, place.line, place.column, what),
          .hint = std::move(hint)};
}

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a number";
    case toml::node_type::floating_point:
      return "a fraction";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

/// Levenshtein distance, for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t next =
          std::min({row[j] + 1, row[j + 1] + 1, diagonal + static_cast<std::size_t>(a[i] != b[j])});
      diagonal = std::exchange(row[j + 1], next);
    }
  }
  return row.back();
}

/// One key of a table and what takes its value; the error's `what` is completed with the place.
struct Field {
  std::string name;
  std::function<Result<>(const toml::node&)> take;
};

std::string nearest(std::string_view name, const std::vector<Field>& fields) {
  if (name.size() > 64) return {};
  for (const Field& field : fields) {
    if (distance(name, field.name) <= 2) return fmt::format("did you mean \"{}\"?", field.name);
  }
  std::string all;
  for (const Field& field : fields) all += (all.empty() ? "known keys: " : ", ") + field.name;
  return all;
}

class Parser {
 public:
  Parser(std::string_view file, ControllerConfig& config) : file_(file), config_(config) {}
  Result<> run(const toml::table& root);

 private:
  Result<> walk(const toml::table& table, const std::vector<Field>& fields) const;
  Field section(std::string name, std::vector<Field> fields) const;
  Field text(std::string name, std::function<Result<>(const std::string&)> take) const;
  Field path(std::string name, std::filesystem::path& out) const;
  Field duration(std::string name, Seconds& out) const;
  Field number(std::string name, std::int64_t least, std::int64_t most,
               std::function<void(std::int64_t)> take) const;
  Field texts(std::string name, std::function<Result<>(const std::string&)> take) const;
  std::vector<Field> root_fields();
  Error wrong_type(const toml::node& node, std::string_view name, std::string_view wanted) const {
    return at(file_, node.source().begin,
              fmt::format("\"{}\" is {}, expected {}", name, type_name(node), wanted));
  }
  Result<> placed(Result<> result, const toml::node& node, std::string_view name) const {
    if (result) return {};
    return std::unexpected(at(file_, node.source().begin,
                              fmt::format("\"{}\": {}", name, result.error().what), result.error().hint));
  }

  std::string_view file_;
  ControllerConfig& config_;
};

Result<> Parser::walk(const toml::table& table, const std::vector<Field>& fields) const {
  for (const auto& [key, node] : table) {
    const auto field = std::ranges::find(fields, std::string(key.str()), &Field::name);
    if (field == fields.end()) {
      return std::unexpected(at(file_, key.source().begin, fmt::format("unknown key \"{}\"", key.str()),
                                nearest(key.str(), fields)));
    }
    CORDON_TRY(field->take(node));
  }
  return {};
}

Field Parser::section(std::string name, std::vector<Field> fields) const {
  return {name, [this, name, fields = std::move(fields)](const toml::node& node) -> Result<> {
            const toml::table* table = node.as_table();
            if (table == nullptr) return std::unexpected(wrong_type(node, name, "a table"));
            return walk(*table, fields);
          }};
}

Field Parser::text(std::string name, std::function<Result<>(const std::string&)> take) const {
  return {name, [this, name, take = std::move(take)](const toml::node& node) -> Result<> {
            const auto value = node.value_exact<std::string>();
            if (!value) return std::unexpected(wrong_type(node, name, "a text"));
            return placed(take(*value), node, name);
          }};
}

Field Parser::texts(std::string name, std::function<Result<>(const std::string&)> take) const {
  return {name, [this, name, take = std::move(take)](const toml::node& node) -> Result<> {
            const toml::array* list = node.as_array();
            if (list == nullptr) return std::unexpected(wrong_type(node, name, "a list of texts"));
            for (const toml::node& item : *list) {
              const auto value = item.value_exact<std::string>();
              if (!value) return std::unexpected(wrong_type(item, name, "a text"));
              CORDON_TRY(placed(take(*value), item, name));
            }
            return {};
          }};
}

Field Parser::path(std::string name, std::filesystem::path& out) const {
  return text(std::move(name), [&out](const std::string& value) -> Result<> {
    if (!value.starts_with('/')) {
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is no absolute path", value),
                  "begin it with \"/\"");
    }
    out = value;
    return {};
  });
}

Field Parser::duration(std::string name, Seconds& out) const {
  return text(std::move(name), [&out](const std::string& value) -> Result<> {
    CORDON_ASSIGN(out, parse_duration(value));
    return {};
  });
}

Field Parser::number(std::string name, std::int64_t least, std::int64_t most,
                     std::function<void(std::int64_t)> take) const {
  return {name, [=, this, take = std::move(take)](const toml::node& node) -> Result<> {
            const auto value = node.value_exact<std::int64_t>();
            if (!value) return std::unexpected(wrong_type(node, name, "a number"));
            if (*value < least || *value > most) {
              return std::unexpected(
                  at(file_, node.source().begin,
                     fmt::format("\"{}\" is {}, expected {} to {}", name, *value, least, most)));
            }
            take(*value);
            return {};
          }};
}

bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool is_domain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (!text.empty()) {
    const auto dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
  return false;  // it ended in a dot
}

std::function<Result<>(const std::string&)> endpoint_into(Endpoint& out) {
  return [&out](const std::string& value) -> Result<> {
    CORDON_ASSIGN(out, Endpoint::parse(value));
    return {};
  };
}

/// A prefix of the given shape within `range`.
Result<Prefix> overlay_prefix(const std::string& value, const char* range, unsigned shortest,
                              unsigned longest) {
  CORDON_ASSIGN(const Prefix prefix, Prefix::parse(value));
  CORDON_ASSIGN(const Prefix within, Prefix::parse(range));
  if (!within.contains(prefix.address) || prefix.bits < within.bits || prefix.length() < shortest ||
      prefix.length() > longest) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" doesn't fit", value),
                fmt::format("a prefix within {} of /{} to /{}", range, shortest, longest));
  }
  return prefix;
}

std::vector<Field> Parser::root_fields() {
  ControllerConfig& c = config_;
  const auto name = [&c](const std::string& value) -> Result<> {
    if (!is_label(value)) {
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is no name", value), "1 to 63 of a-z, 0-9 and -");
    }
    c.name = value;
    return {};
  };
  const auto domain = [&c](const std::string& value) -> Result<> {
    if (!is_domain(value)) {
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is no domain", value), "such as \"acme.example\"");
    }
    c.trust_domain = value;
    return {};
  };
  const auto dns_name = [&c](const std::string& value) -> Result<> {
    if (!is_domain(value)) return fail(ErrorCode::invalid, fmt::format("\"{}\" is no host name", value));
    c.advertise_names.push_back(value);
    return {};
  };
  const auto address = [&c](const std::string& value) -> Result<> {
    CORDON_ASSIGN(const Address parsed, Address::parse(value));
    c.advertise_addresses.push_back(parsed);
    return {};
  };
  const auto reached = [&c](const std::string& value) -> Result<> {
    constexpr std::size_t kMostEndpoints = 32;
    CORDON_ASSIGN(const Endpoint parsed, Endpoint::parse(value));
    if (parsed.port == 0 || parsed.address.is_unspecified())
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is nowhere", value),
                  "such as \"203.0.113.1:7443\"");
    if (std::ranges::find(c.advertise_nodes, parsed) != c.advertise_nodes.end())
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is there twice", value));
    if (c.advertise_nodes.size() == kMostEndpoints)
      return fail(ErrorCode::invalid, fmt::format("more than {} endpoints", kMostEndpoints));
    c.advertise_nodes.push_back(parsed);
    return {};
  };
  const auto v4 = [&c](const std::string& value) -> Result<> {
    CORDON_ASSIGN(c.overlay_v4, overlay_prefix(value, "100.64.0.0/10", 10, 24));
    return {};
  };
  const auto v6 = [&c](const std::string& value) -> Result<> {
    CORDON_ASSIGN(c.overlay_v6, overlay_prefix(value, "fc00::/7", 48, 48));
    return {};
  };
  const auto lease = [&c](const std::string& value) -> Result<> {
    CORDON_ASSIGN(c.node_lease, parse_duration(value));
    return {};
  };
  const auto metrics = [&c](const std::string& value) -> Result<> {
    if (value.empty()) return {};
    CORDON_ASSIGN(c.metrics_listen, Endpoint::parse(value));
    return {};
  };
  return {
      text("name", name),
      text("trust_domain", domain),
      path("state_directory", c.state_directory),
      path("run_directory", c.run_directory),
      section("listen",
              {text("nodes", endpoint_into(c.listen_nodes)), text("api", endpoint_into(c.listen_api))}),
      section("advertise", {texts("names", dns_name), texts("addresses", address), texts("nodes", reached)}),
      section("overlay", {text("v4", v4), text("v6", v6)}),
      section("leases", {text("node", lease)}),
      section("sessions", {duration("longest", c.session_longest)}),
      section("flows", {duration("keep", c.flows_keep),
                        number("max_bytes", 1 << 20, std::int64_t{1} << 50,
                               [&c](std::int64_t v) { c.flows_max_bytes = static_cast<std::uint64_t>(v); })}),
      section("metrics", {text("listen", metrics)}),
      section("places", {path("database", c.places_database)}),
      section("limits", {number("nodes", 1, 1'000'000,
                                [&c](std::int64_t v) { c.max_nodes = static_cast<std::size_t>(v); })}),
  };
}

Result<> Parser::run(const toml::table& root) {
  CORDON_TRY(walk(root, root_fields()));
  const auto needed = [&](bool there, std::string_view key, std::string_view example) -> Result<> {
    if (there) return {};
    return std::unexpected(at(file_, {1, 1}, fmt::format("\"{}\" is missing", key),
                              fmt::format("add {} = \"{}\"", key, example)));
  };
  CORDON_TRY(needed(!config_.name.empty(), "name", "controller-1"));
  CORDON_TRY(needed(!config_.trust_domain.empty(), "trust_domain", "acme.example"));
  const auto bounded = [&](Seconds value, Seconds least, Seconds most, std::string_view key) -> Result<> {
    if (value >= least && value <= most) return {};
    return std::unexpected(at(file_, {1, 1}, fmt::format("\"{}\" is {}", key, format_duration(value)),
                              fmt::format("{} to {}", format_duration(least), format_duration(most))));
  };
  // Below 2 s a heartbeat every 500 ms could no longer renew leases in time.
  CORDON_TRY(
      bounded(config_.node_lease.value_or(Seconds{60}), Seconds{2}, Seconds{24 * 3600}, "leases.node"));
  return bounded(config_.session_longest, Seconds{60}, Seconds{12 * 3600}, "sessions.longest");
}

}  // namespace

Result<ControllerConfig> parse_controller_config(std::string_view text, std::string_view file) {
  ControllerConfig config;
  toml::table root;
  try {
    root = toml::parse(text, std::string(file));
  } catch (const toml::parse_error& error) {
    return std::unexpected(at(file, error.source().begin, std::string(error.description())));
  }
  CORDON_TRY(Parser(file, config).run(root));
  return config;
}

std::vector<std::string> settled_at_first_start(const ControllerConfig& config,
                                                const policy::Installation& installation) {
  std::vector<std::string> out;
  const auto settled = [&out](std::string_view key, const std::string& told, const std::string& in_force) {
    if (told == in_force) return;
    out.push_back(fmt::format(
        "{} = \"{}\" is not heeded: the first start settled it as \"{}\"; write that, or leave it out", key,
        told, in_force));
  };
  if (config.overlay_v4)
    settled("[overlay] v4", config.overlay_v4->to_string(), installation.overlay_v4.to_string());
  if (config.overlay_v6)
    settled("[overlay] v6", config.overlay_v6->to_string(), installation.overlay_v6.to_string());
  if (config.node_lease)
    settled("[leases] node", format_duration(*config.node_lease), format_duration(installation.node_lease));
  return out;
}

Result<ControllerConfig> read_controller_config(const std::filesystem::path& path) {
  CORDON_ASSIGN(const std::string text, read_file(path, kMaxConfigBytes));
  return parse_controller_config(text, path.string());
}

}  // namespace cordon::controller
