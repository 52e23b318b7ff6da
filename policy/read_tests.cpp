#include <fmt/format.h>

#include "policy/country_codes.h"
#include "policy/draft.h"
#include "policy/read_facts.h"
#include "policy/read_values.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

/// A test that tells no time is asked at this moment, or just after its login.
constexpr Timestamp kAsked = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5) + std::chrono::hours(10);
constexpr std::string_view kAskingId = "asking-device", kTargetId = "target-device";

/// Facts of a device, held to what the policy knows: a check or a country that isn't is a slip of the pen.
void read_test_device(Reader& reader, const TomlEntry& entry, Draft& draft, Device& device) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  read_device(reader, entry.value, device);
  if (const TomlEntry* checks = find(entry.value, "checks"))
    for (const TomlNode& item : checks->value.items)
      if (item.kind == TomlNode::Kind::text && !item.text.empty())
        draft.checks.push_back({item.text, item.place});
  if (device.country && !is_country_code(*device.country))
    reader.error(find(entry.value, "country")->value.place,
                 fmt::format("unknown country {}", in_quotes(*device.country)),
                 {"countries are ISO 3166 codes of two capital letters, such as \"TW\""});
}

void read_who(Reader& reader, const TomlEntry& entry, Draft& draft, PolicyTest& test) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  reader.check_keys(entry.value, "\"who\"",
                    {"user", "claims", "assurance", "authenticated_at", "signals", "device"});
  Session session;
  const TomlEntry* of_person = nullptr;
  for (const TomlEntry& field : entry.value.entries) {
    if (field.key == "device") {
      read_test_device(reader, field, draft, test.device);
    } else if (field.key != "id" && field.key != "ends_at" && field.key != "addresses" &&
               read_session_field(reader, field, session, test.user)) {
      if (!of_person) of_person = &field;
    }
  }
  if (!of_person && !find(entry.value, "device"))
    reader.error(entry.place, "\"who\" names nobody", {"give it a user, or a device that acts for itself"});
  if (!of_person) return;
  if (!find(entry.value, "user"))
    reader.error(of_person->place,
                 fmt::format("{} is told of a person, and \"who\" has no user", in_quotes(of_person->key)),
                 {"add user = \"NAME\""});
  session.id = SessionId("s-test");
  session.device = test.device.id;
  test.session = std::move(session);
}

std::optional<Word> read_word(Reader& reader, const TomlEntry& entry) {
  auto text = reader.text(entry);
  if (!text) return std::nullopt;
  return Word{std::move(*text), entry.value.place};
}

/// What a device is called that the test gives no id.
void name_devices(PolicyTest& test) {
  if (test.device.id.value.empty()) test.device.id = DeviceId(std::string(kAskingId));
  if (test.target.id.value.empty()) test.target.id = DeviceId(std::string(kTargetId));
  if (test.session) test.session->device = test.device.id;
}

DraftTest read_test(Reader& reader, const TomlNode& table, Draft& draft) {
  DraftTest out;
  PolicyTest& test = out.test;
  test.place = table.place;
  test.target.ownership = Ownership::company;
  reader.check_keys(table, "a test", {"name", "who", "at", "access", "target", "expect", "rule"});
  std::optional<Timestamp> at;
  for (const TomlEntry& field : table.entries) {
    if (field.key == "name") test.name = reader.text(field).value_or("");
    if (field.key == "who") read_who(reader, field, draft, test);
    if (field.key == "at") at = read_time(reader, field);
    if (field.key == "access") out.access = read_word(reader, field);
    if (field.key == "target") read_test_device(reader, field, draft, test.target);
    if (field.key == "rule") out.rule = read_word(reader, field);
    if (field.key == "expect")
      test.expect =
          reader
              .choice<Verdict>(
                  field, {{"allow", Verdict::allow}, {"deny", Verdict::deny}, {"forbid", Verdict::forbid}})
              .value_or(Verdict::deny);
  }
  for (const std::string_view needed : {"name", "who", "access", "expect"})
    if (!find(table, needed)) reader.error(table.place, fmt::format("a test needs {}", in_quotes(needed)));
  const bool login = test.session && test.session->authenticated_at;
  test.at = at.value_or(login ? *test.session->authenticated_at + Seconds(1) : kAsked);
  name_devices(test);
  if (test.device.id == test.target.id)
    reader.error(table.place, fmt::format("device {} can't be both \"who\" and \"target\" of a test",
                                          in_quotes(test.device.id.value)));
  return out;
}

}  // namespace

void read_tests(Reader& reader, const TomlEntry& entry, Draft& draft) {
  for (const TomlNode* table : read_table_list(reader, entry)) {
    DraftTest test = read_test(reader, *table, draft);
    const TomlEntry* name = find(*table, "name");
    if (!name || name->value.kind != TomlNode::Kind::text) continue;  // reported already
    if (!reader.check_name({test.test.name, name->value.place}, "test")) continue;
    std::string key = test.test.name;
    const auto [it, fresh] = draft.tests.emplace(std::move(key), std::move(test));
    if (!fresh)
      reader.error(name->value.place, fmt::format("test {} is defined twice", in_quotes(name->value.text)),
                   {}, {it->second.test.place});
  }
}

}  // namespace cordon::policy
