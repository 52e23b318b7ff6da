// /openapi.json, made from the route table and the schemas alone: what it says can't drift from what is done.

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "base/version.h"
#include "controller/api/routes.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

json::object reference(std::string_view schema) {
  return {{"$ref", fmt::format("#/components/schemas/{}", schema)}};
}

json::object content(std::string_view type, json::object schema) {
  return {{type, json::object{{"schema", std::move(schema)}}}};
}

json::array parameters(const Route& route) {
  json::array out;
  const std::string_view pattern = route.pattern;
  for (std::size_t open = pattern.find('{'); open != std::string_view::npos;
       open = pattern.find('{', open + 1)) {
    out.push_back(json::object{{"name", pattern.substr(open + 1, pattern.find('}', open) - open - 1)},
                               {"in", "path"},
                               {"required", true},
                               {"schema", json::object{{"type", "string"}}}});
  }
  for (const Field& field : route.query) {
    json::object schema = json_schema(field);
    schema.erase("description");
    out.push_back(json::object{{"name", field.name},
                               {"in", "query"},
                               {"required", field.required},
                               {"description", field.about},
                               {"schema", std::move(schema)}});
  }
  return out;
}

json::object answer(const Route& route) {
  json::object schema = route.answer.empty() ? json::object{{"type", "object"}} : reference(route.answer);
  if (route.kind == Body::json_lines) {
    return {{"description", "one JSON object per line"},
            {"content", content("application/jsonl", json::object{{"type", "string"}})}};
  }
  if (route.kind == Body::list) {
    schema = {{"type", "object"},
              {"properties",
               json::object{{"items", json::object{{"type", "array"}, {"items", std::move(schema)}}},
                            {"next", json::object{{"type", json::array{"string", "null"}},
                                                  {"description", "give it as `after` for the next page"}}}}},
              {"required", json::array{"items", "next"}}};
  }
  return {{"description", "done"}, {"content", content("application/json", std::move(schema))}};
}

json::object operation(const Route& route) {
  json::object responses;
  responses[std::to_string(route.status)] = answer(route);
  responses["default"] = json::object{{"description", "refused or failed: a problem document (RFC 9457)"},
                                      {"content", content("application/problem+json", reference("Problem"))}};
  json::object out{{"operationId", route.operation}, {"summary", route.summary}};
  const bool open = route.role == Role::anyone;
  out["description"] = open ? "Needs no token." : fmt::format("Needs the role {}.", to_string(route.role));
  out["security"] = open ? json::array{} : json::array{json::object{{"token", json::array{}}}};
  if (json::array all = parameters(route); !all.empty()) out["parameters"] = std::move(all);
  if (!route.body.empty()) {
    const bool required = std::ranges::any_of(route.body, &Field::required);
    out["requestBody"] = json::object{
        {"required", required}, {"content", content("application/json", json_schema(route.body, true))}};
  }
  out["responses"] = std::move(responses);
  return out;
}

std::string lowercase(std::string_view method) {
  std::string out(method);
  std::ranges::transform(out, out.begin(), [](char c) { return static_cast<char>(c | 0x20); });
  return out;
}

}  // namespace

json::object openapi() {
  json::object paths;
  for (const Route& route : all_routes()) {
    json::value& path = paths[route.pattern];
    if (path.is_null()) path = json::object{};
    path.get_object()[lowercase(route.method)] = operation(route);
  }
  json::object components;
  for (const auto& [name, fields] : schemas()) {
    // Answers may grow in later versions; what is sent to us may not have members we don't know.
    components[name] = json_schema(fields, name == "PolicyFile");
  }
  return {{"openapi", "3.1.0"},
          {"info",
           json::object{{"title", "Cordon controller"},
                        {"version", kVersion},
                        {"description",
                         "Over HTTPS with a bearer token, and over the controller's UNIX socket as root."}}},
          {"paths", std::move(paths)},
          {"components",
           json::object{{"schemas", std::move(components)},
                        {"securitySchemes",
                         json::object{{"token", json::object{{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

}  // namespace cordon::controller::api
