#include "controller/world/payloads.h"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>

#include "controller/world/names.h"

namespace cordon::controller::kinds {

namespace json = boost::json;
using wire::Fields;

namespace {
constexpr std::size_t kMostSignals = 64;
}  // namespace

// {"issuer":"local","sealed_name":"base64","user":"u-.."}
json::object write(const UserAdded& k) {
  return {{"issuer", k.issuer}, {"sealed_name", k.sealed_name}, {"user", k.user.value}};
}
void read(Fields& f, UserAdded& k) {
  k.issuer = f.text("issuer");
  k.sealed_name = f.text("sealed_name", 4096);
  k.user.value = f.id("user");
}

// {"disabled":true,"user":"u-.."}
json::object write(const UserDisabled& k) {
  return {{"disabled", k.disabled}, {"user", k.user.value}};
}
void read(Fields& f, UserDisabled& k) {
  k.disabled = f.boolean("disabled");
  k.user.value = f.id("user");
}

// {"assurance":"aal2","authenticated_at":N,"claims":["corp:trading"],"device":"trader","ends_at":N,"id":"s-..",
//  "uid":1000,"user":"u-.."}
json::object write(const SessionOpened& k) {
  const auto& s = k.session;
  return {{"assurance", assurance_name(s.assurance.value_or(policy::Assurance::aal1))},
          {"authenticated_at", to_us(s.authenticated_at.value_or(Timestamp{}))},
          {"claims", list(s.claims)},
          {"device", s.device.value},
          {"ends_at", to_us(s.ends_at)},
          {"id", s.id.value},
          {"uid", s.uid},
          {"user", s.user.value}};
}
void read(Fields& f, SessionOpened& k) {
  auto& s = k.session;
  const auto assurance = assurance_by_name(f.text("assurance"));
  if (!assurance) f.refuse("assurance", "must be aal1, aal2 or aal3");
  s.assurance = assurance;
  s.authenticated_at = time(f, "authenticated_at");
  s.claims = f.texts("claims");
  s.device.value = f.id("device");
  s.ends_at = time(f, "ends_at");
  s.id.value = f.id("id");
  s.uid = static_cast<std::uint32_t>(f.integer("uid", 0, std::numeric_limits<std::uint32_t>::max()));
  s.user.value = f.id("user");
}

// {"reason":"signed out","session":"s-.."}
json::object write(const SessionClosed& k) {
  return {{"reason", k.reason}, {"session", k.session.value}};
}
void read(Fields& f, SessionClosed& k) {
  k.reason = f.text("reason", 1000, 0);
  k.session.value = f.id("session");
}

// {"session":"s-..","signals":[{"cost":30,"name":"new country","until":N}]}
json::object write(const SessionSignals& k) {
  auto sorted = k.signals;
  std::ranges::sort(sorted);
  json::array signals;
  for (const auto& signal : sorted) {
    signals.push_back(
        json::object{{"cost", signal.cost}, {"name", signal.name}, {"until", to_us(signal.until)}});
  }
  return {{"session", k.session.value}, {"signals", std::move(signals)}};
}
void read(Fields& f, SessionSignals& k) {
  k.session.value = f.id("session");
  const auto* value = f.value("signals");
  if (value == nullptr) return;
  const auto* signals = value->if_array();
  if (signals == nullptr || signals->size() > kMostSignals)
    return f.refuse("signals", "must be a list of at most 64 signals");
  for (const auto& signal : *signals) {
    Fields inner(signal, "signal");
    k.signals.push_back({.name = inner.text("name", 63),
                         .cost = static_cast<int>(inner.integer("cost", 0, 100)),
                         .until = time(inner, "until")});
    if (const auto done = inner.finish(); !done) return f.refuse("signals", done.error().what);
  }
}

}  // namespace cordon::controller::kinds
