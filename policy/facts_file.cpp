#include "policy/facts_file.h"

#include <fmt/format.h>

#include <map>

#include "policy/json_tree.h"
#include "policy/read_facts.h"
#include "policy/read_values.h"
#include "policy/reader.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

constexpr std::size_t kMostErrors = 100;
constexpr std::size_t kMostItems = 200'000;  ///< of each list

bool is_list(std::string_view key) {
  return key == "devices" || key == "sessions" || key == "queries";
}

/// The facts of one file as they come by.
class FactsReader final : public JsonVisitor {
 public:
  explicit FactsReader(PolicyPtr policy) {
    World& world = facts_.world;
    world.policy = std::move(policy);
    for (const Rule& rule : world.policy->rules) world.rule_ids.emplace(rule.name, RuleId{world.next_rule++});
    world.installation.overlay_v4 = Prefix::of(Address::from_v4(0), 0);
    world.installation.overlay_v6 = Prefix::of(Address{}, 0);
  }

  bool entry(const TomlEntry& entry) override {
    if (entry.key == "at") {
      read_at(entry);
    } else if (is_list(entry.key)) {
      reader_.is_kind(entry, TomlNode::Kind::list);
      items_ = 0;
    } else {
      TomlNode table;
      table.entries.push_back(entry);
      reader_.check_keys(table, "a facts file", {"at", "devices", "sessions", "queries"});
    }
    return go_on();
  }

  bool item(const TomlEntry& list, const TomlNode& item) override {
    if (!is_list(list.key)) return go_on();  // reported with the list
    if (++items_ > kMostItems) {
      reader_.error(item.place,
                    fmt::format("{} holds more than {} objects", in_quotes(list.key), kMostItems));
      is_complete_ = false;
      return false;
    }
    if (item.kind != TomlNode::Kind::table)
      reader_.error(item.place,
                    fmt::format("{} must hold objects, found {}", in_quotes(list.key), describe(item.kind)));
    else if (list.key == "devices")
      add_device(item);
    else if (list.key == "sessions")
      add_session(item);
    else
      add_query(item);
    return go_on();
  }

  FactsResult result(std::optional<Diagnostic> problem) {
    if (problem)
      reader_.add(std::move(*problem));
    else if (is_complete_ && go_on())
      connect();
    FactsResult result{.facts = std::nullopt, .diagnostics = {}};
    if (!reader_.failed()) result.facts = std::move(facts_);
    result.diagnostics = reader_.take();
    if (result.diagnostics.size() > kMostErrors) result.diagnostics.resize(kMostErrors);
    return result;
  }

 private:
  /// Hostile files would otherwise be as many diagnostics as bytes.
  bool go_on() const { return reader_.errors() < kMostErrors; }

  void read_at(const TomlEntry& entry) {
    facts_.at = read_time(reader_, entry);
    if (!facts_.at) return;
    const std::string& text = entry.value.text;
    const bool utc = text.ends_with('Z') || text.ends_with('z');
    facts_.offset = utc ? "Z" : text.substr(text.size() - std::string_view("+08:00").size());
  }

  /// The id of a device or session, which nothing else has; "" when there is none.
  bool check_id(const TomlNode& table, const std::string& id, std::string_view concept_name) {
    if (id.empty()) {
      if (!find(table, "id")) reader_.error(table.place, fmt::format("{} needs \"id\"", concept_name));
      return false;
    }
    const auto [known, is_new] = ids_.try_emplace(id, find(table, "id")->value.place);
    if (is_new) return true;
    reader_.error(find(table, "id")->value.place, fmt::format("id {} is given twice", in_quotes(id)), {},
                  {known->second});
    return false;
  }

  void check_addresses(const TomlNode& table, const OverlayAddresses& addresses, const std::string& id) {
    for (const Address& address : {addresses.v4, addresses.v6}) {
      if (address == Address{}) continue;
      const auto [owner, is_new] = owners_.try_emplace(address, id);
      if (is_new) continue;
      reader_.error(
          find(table, "addresses")->value.place,
          fmt::format("address {} belongs to {} already", address.to_string(), in_quotes(owner->second)),
          {"every device and session has addresses of its own"});
    }
  }

  void add_device(const TomlNode& table) {
    World& world = facts_.world;
    Device device;
    read_device(reader_, table, device);
    if (!check_id(table, device.id.value, "a device")) return;
    check_addresses(table, device.addresses, device.id.value);
    add_to_world(std::move(device), world);
  }

  static void add_to_world(Device device, World& world) {
    device.state = DeviceState::active;
    device.number = world.next_device++;
    // Stands for the key that a real device has: different for each.
    for (unsigned byte = 0; byte < 4; ++byte)
      device.wireguard_key[byte] = static_cast<std::uint8_t>(device.number >> (8 * byte));
    const DeviceId id = device.id;
    world.devices.emplace(id, std::move(device));
  }

  void add_session(const TomlNode& table) {
    World& world = facts_.world;
    Session session;
    std::string user;
    read_session(reader_, table, session, user);
    if (!check_id(table, session.id.value, "a session")) return;
    check_addresses(table, session.addresses, session.id.value);
    if (const TomlEntry* device = find(table, "device"))
      device_uses_.emplace_back(session.device.value, device->value.place);
    else
      without_device_ = true;
    world.users.try_emplace(session.user, User{.id = session.user, .issuer = "facts", .name = user});
    world.sessions.put(std::move(session));
  }

  /// Nothing after an error was reported.
  std::optional<std::string> needed_text(const TomlNode& table, std::string_view key) {
    const TomlEntry* entry = find(table, key);
    if (!entry) {
      reader_.error(table.place, fmt::format("a query needs {}", in_quotes(key)));
      return std::nullopt;
    }
    auto text = reader_.text(*entry);
    if (!text || !text->empty()) return text;
    reader_.error(entry->value.place, fmt::format("{} is empty", in_quotes(key)));
    return std::nullopt;
  }

  void add_query(const TomlNode& table) {
    reader_.check_keys(table, "a query", {"principal", "target", "access"});
    const auto principal = needed_text(table, "principal");
    const auto target = needed_text(table, "target");
    const auto access = needed_text(table, "access");
    if (!principal || !target || !access) return;
    const auto flows = parse_flow(*access);
    if (!flows) {
      reader_.error(find(table, "access")->value.place, flows.error().what, {flows.error().hint});
      return;
    }
    FactsQuery query{.principal = *principal, .target = *target, .access = *access, .asks = {}};
    for (const Access& flow : *flows)
      query.asks.push_back({.principal = DeviceId{*principal},  // told apart when all are known
                            .target = DeviceId{*target},
                            .protocol = *flow.protocol,
                            .port = flow.ports.first});
    facts_.queries.push_back(std::move(query));
  }

  /// What needs all devices and sessions to be known.
  void connect() {
    World& world = facts_.world;
    std::vector<std::string_view> names;
    for (const auto& [id, device] : world.devices) names.push_back(id.value);
    for (const auto& [device, place] : device_uses_)
      if (!device.empty() && !world.devices.contains(DeviceId{device}))
        reader_.error(place, fmt::format("unknown device {}", in_quotes(device)),
                      reader_.suggest(device, names));
    if (without_device_) add_to_world(Device{}, world);
    for (FactsQuery& query : facts_.queries)
      for (Query& ask : query.asks)
        if (world.sessions.contains(SessionId{query.principal})) ask.principal = SessionId{query.principal};
    if (facts_.at) world.at = *facts_.at;
    number_targets(world);
  }

  Reader reader_;
  Facts facts_;
  std::map<std::string, Place> ids_;
  std::map<Address, std::string> owners_;
  std::vector<std::pair<std::string, Place>> device_uses_;
  bool without_device_ = false;
  std::size_t items_ = 0;  ///< of the list that is read
  bool is_complete_ = true;
};

}  // namespace

Result<std::vector<Access>> parse_flow(std::string_view text) {
  CORDON_ASSIGN(std::vector<Access> accesses, parse_access(text));
  for (const Access& access : accesses)
    if (!access.protocol || access.ports.first != access.ports.last)
      return fail(ErrorCode::invalid, fmt::format("access {} is more than one flow", in_quotes(text)),
                  "ask about one port or type: \"tcp/443\", \"icmp/8\", \"ping\"");
  return accesses;
}

FactsResult read_facts(const SourceFile& file, PolicyPtr policy) {
  FactsReader reader(std::move(policy));
  auto problem = walk_json(file, reader);
  return reader.result(std::move(problem));
}

}  // namespace cordon::policy
