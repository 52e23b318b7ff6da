#pragma once
// The route table: one row per operation. The router, the checks of callers and bodies, and /openapi.json
// read it.

#include <boost/json/object.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "controller/api/fields.h"
#include "controller/api/reply.h"

namespace cordon::controller {
struct Services;
}

namespace cordon::controller::api {

/// What a caller may do. A viewer reads; auditor, engineer and operator read and do one thing more each; an
/// admin does all. `anyone` needs no token; `root` is the UNIX socket alone.
enum class Role { anyone, viewer, auditor, engineer, operator_, admin, root };
std::string_view to_string(Role role);
/// Of an API token: viewer to admin.
Result<Role> parse_role(std::string_view text);
bool may(Role caller, Role needed);

struct Caller {
  std::string actor;  ///< as records name it
  Role role = Role::anyone;
};

struct Route;

/// One request that passed every check of its route.
struct Call {
  const Route* route = nullptr;
  Caller caller;
  std::vector<std::string> path;  ///< the values of {..} in the pattern, decoded
  boost::json::object query, body;

  /// Of the body or the query; `fallback` when it is not given (or null).
  std::string text(std::string_view member, std::string_view fallback = {}) const;
  std::int64_t number(std::string_view member, std::int64_t fallback) const;
  bool flag(std::string_view member, bool fallback = false) const;
  std::vector<std::string> texts(std::string_view member) const;

 private:
  const boost::json::value* find(std::string_view member) const;
};

using Handler = void (*)(Services&, const Call&, Respond);

enum class Body { object, list, json_lines };

struct Route {
  std::string_view method;     ///< GET, POST, DELETE
  std::string_view pattern;    ///< "/v1/devices/{id}/approve"
  std::string_view operation;  ///< operationId
  Role role = Role::viewer;
  std::string_view summary;
  Fields query{}, body{};
  std::string_view answer{};  ///< a schema; empty: any object
  Body kind = Body::object;   ///< a list is {"items": [answer], "next": text or null}
  unsigned status = 200;
  Handler handler = nullptr;
};

/// ?limit= and ?after= of every list.
Fields paging();
/// wait_s: how long to wait for nodes' receipts.
Field waiting();

}  // namespace cordon::controller::api
