#include "controller/api/route.h"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

namespace cordon::controller::api {

std::string_view to_string(Role role) {
  switch (role) {
    case Role::anyone:
      return "anyone";
    case Role::viewer:
      return "viewer";
    case Role::auditor:
      return "auditor";
    case Role::engineer:
      return "engineer";
    case Role::operator_:
      return "operator";
    case Role::admin:
      return "admin";
    case Role::root:
      return "root";
  }
  return "?";
}

Result<Role> parse_role(std::string_view text) {
  for (const Role role : {Role::viewer, Role::auditor, Role::engineer, Role::operator_, Role::admin}) {
    if (text == to_string(role)) return role;
  }
  return fail(ErrorCode::invalid, "unknown role", "give viewer, auditor, engineer, operator or admin");
}

bool may(Role caller, Role needed) {
  if (needed == Role::anyone || caller == Role::root) return true;
  if (needed == Role::root || caller == Role::anyone) return false;
  return caller == Role::admin || needed == Role::viewer || caller == needed;
}

const boost::json::value* Call::find(std::string_view member) const {
  const boost::json::value* value = body.if_contains(member);
  if (value == nullptr) value = query.if_contains(member);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string Call::text(std::string_view member, std::string_view fallback) const {
  const boost::json::value* value = find(member);
  return std::string(value == nullptr ? fallback : std::string_view(value->get_string()));
}

std::int64_t Call::number(std::string_view member, std::int64_t fallback) const {
  const boost::json::value* value = find(member);
  return value == nullptr ? fallback : value->get_int64();
}

bool Call::flag(std::string_view member, bool fallback) const {
  const boost::json::value* value = find(member);
  return value == nullptr ? fallback : value->get_bool();
}

std::vector<std::string> Call::texts(std::string_view member) const {
  std::vector<std::string> out;
  if (const boost::json::value* value = find(member)) {
    for (const auto& element : value->get_array()) out.emplace_back(element.get_string());
  }
  return out;
}

Fields paging() {
  return {{.name = "limit",
           .type = Type::integer,
           .about = "how many items at most (default 100)",
           .minimum = 1,
           .maximum = 1000},
          {.name = "after", .about = "the `next` of the page before"}};
}

Field waiting() {
  return {.name = "wait_s",
          .type = Type::integer,
          .about = "seconds to wait for the receipts of the connected nodes concerned (default 0: none)",
          .minimum = 0,
          .maximum = 60};
}

}  // namespace cordon::controller::api
