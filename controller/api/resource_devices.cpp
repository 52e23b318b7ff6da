#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "controller/api/answers.h"
#include "controller/api/plan_gateways.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/config.h"
#include "controller/core/services.h"
#include "controller/distribution/controllers_told.h"
#include "controller/world/names.h"

namespace cordon::controller::api {
namespace {

Error unknown_ownership(const std::string& name) {
  return {.code = ErrorCode::invalid,
          .what = fmt::format("\"ownership\" is \"{}\"", name),
          .hint = "give company, personal, vendor or partner, or null: not known"};
}

void list_devices(Services& services, const Call& call, Respond respond) {
  const Distribution::Told nodes = services.distribution->told();
  respond(page(call, services.log.world().devices,
               [&](const policy::Device& device) { return view(device, nodes); }));
}

void get_device(Services& services, const Call& call, Respond respond) {
  const auto device = find_device(services.log.world(), call.path[0]);
  if (!device) return respond(problem(device.error()));
  respond(json_reply(view(**device, services.distribution->told())));
}

Result<std::vector<Prefix>> prefixes_in(const Services& services, const Call& call) {
  std::vector<Address> controllers = services.config.advertise_addresses;
  for (const Endpoint& endpoint : node_endpoints(services.config)) controllers.push_back(endpoint.address);
  std::vector<Prefix> out;
  for (const std::string& text : call.texts("prefixes")) {
    CORDON_ASSIGN(const Prefix prefix, Prefix::parse(text));
    for (const Address& address : controllers)
      if (prefix.contains(address)) {  // I9
        return fail(ErrorCode::invalid,
                    fmt::format("\"{}\" holds {}, where nodes reach a controller", text, address.to_string()),
                    "who is let in there would lose the controller: name prefixes around it");
      }
    out.push_back(prefix);
  }
  std::ranges::sort(out);
  return out;
}

void add_device(Services& services, const Call& call, Respond respond) {
  const auto prefixes = prefixes_in(services, call);
  if (!prefixes) return respond(problem(prefixes.error()));
  const std::string owner = call.text("ownership");
  const auto ownership = ownership_by_name(owner);
  if (!owner.empty() && !ownership) return respond(problem(unknown_ownership(owner)));
  const std::vector<std::string> tags = call.texts("tags");
  kinds::DeviceAdded added{.device = DeviceId(call.text("device")),
                           .gateway = DeviceId(call.text("gateway")),
                           .prefixes = *prefixes,
                           .tags = {tags.begin(), tags.end()},
                           .ownership = ownership};
  policy::Device device{.id = added.device};
  device.gateway = added.gateway;
  device.prefixes = added.prefixes;
  const Distribution::Told nodes = services.distribution->told();
  if (const auto can = can_be_gateway(device.gateway, nodes); !can) return respond(problem(can.error()));
  boost::json::array warnings;
  if (const std::string text = not_forwarded(device, nodes); !text.empty()) warnings.emplace_back(text);
  boost::json::object extra;
  extra["warnings"] = std::move(warnings);
  commit(services, call, added, std::move(extra), std::move(respond));
}

/// Finds the device of the path, then commits what `make` makes of its id.
template <class Make>
void change_device(Services& services, const Call& call, const Respond& respond, Make&& make) {
  const auto device = find_device(services.log.world(), call.path[0]);
  if (!device) return respond(problem(device.error()));
  commit(services, call, make((*device)->id), {}, respond);
}

void remove_device(Services& services, const Call& call, Respond respond) {
  change_device(services, call, respond, [&](const DeviceId& id) {
    return kinds::DeviceRemoved{id, call.text("reason", "removed by an operator")};
  });
}

void approve_device(Services& services, const Call& call, Respond respond) {
  change_device(services, call, respond, [](const DeviceId& id) { return kinds::DeviceApproved{id}; });
}

void isolate_device(Services& services, const Call& call, Respond respond) {
  change_device(services, call, respond, [&](const DeviceId& id) {
    return kinds::DeviceIsolated{id, call.text("reason", "isolated by an operator")};
  });
}

void release_device(Services& services, const Call& call, Respond respond) {
  const auto found = find_device(services.log.world(), call.path[0]);
  if (!found) return respond(problem(found.error()));
  const DeviceId device = (*found)->id;
  const bool isolated = (*found)->isolated;
  commit(services, call, kinds::DeviceReleased{device}, {}, std::move(respond));
  // Whoever was on the machine may have its WireGuard key. A device that was asked already is refused.
  if (isolated)
    services.log.propose(kinds::encode(call.caller.actor, kinds::KeyRotationAsked{device}),
                         [](const Result<Committed>&) {});
}

void tag_device(Services& services, const Call& call, Respond respond) {
  const std::vector<std::string> tags = call.texts("tags");
  change_device(services, call, respond,
                [&](const DeviceId& id) { return kinds::DeviceTagged{id, {tags.begin(), tags.end()}}; });
}

void classify_device(Services& services, const Call& call, Respond respond) {
  const std::string name = call.text("ownership");
  const auto ownership = ownership_by_name(name);
  if (!ownership && !call.body.at("ownership").is_null()) {
    return respond(problem(unknown_ownership(name)));
  }
  change_device(services, call, respond,
                [&](const DeviceId& id) { return kinds::DeviceClassified{id, ownership}; });
}

void rotate_device(Services& services, const Call& call, Respond respond) {
  change_device(services, call, respond, [](const DeviceId& id) { return kinds::KeyRotationAsked{id}; });
}

Field reason(std::string_view about) {
  return {.name = "reason", .about = about, .longest = 200};
}

Route change(std::string_view pattern, std::string_view operation, std::string_view summary, Fields body,
             Handler handler, std::string_view answer = "Revision") {
  return {.method = "POST",
          .pattern = pattern,
          .operation = operation,
          .role = Role::operator_,
          .summary = summary,
          .body = std::move(body),
          .answer = answer,
          .handler = handler};
}

}  // namespace

Routes device_routes() {
  return {
      {.method = "GET",
       .pattern = "/v1/devices",
       .operation = "listDevices",
       .role = Role::viewer,
       .summary = "Devices, removed ones too: their names are never used again",
       .query = paging(),
       .answer = "Device",
       .kind = Body::list,
       .handler = list_devices},
      change("/v1/devices", "addDevice",
             "Adds what can't run a daemon and stands behind a device that does, its gateway",
             {{.name = "device", .about = "its name", .required = true, .longest = 63},
              {.name = "gateway", .about = "the device that it is behind", .required = true, .longest = 63},
              {.name = "prefixes",
               .type = Type::strings,
               .about = "where the gateway reaches it: addresses or subnets",
               .required = true,
               .longest = 64},
              {.name = "tags", .type = Type::strings, .about = "that it gets", .longest = 64},
              {.name = "ownership",
               .about = "company, personal, vendor or partner; null: not known",
               .nullable = true},
              waiting()},
             add_device, "DeviceAdded"),
      {.method = "GET",
       .pattern = "/v1/devices/{id}",
       .operation = "getDevice",
       .role = Role::viewer,
       .summary = "One device",
       .answer = "Device",
       .handler = get_device},
      {.method = "DELETE",
       .pattern = "/v1/devices/{id}",
       .operation = "removeDevice",
       .role = Role::operator_,
       .summary = "Takes a device away for good; it has to enrol again under another name",
       .query = {reason("for the audit trail"), waiting()},
       .answer = "Revision",
       .handler = remove_device},
      change("/v1/devices/{id}/approve", "approveDevice", "Lets a pending device in", {waiting()},
             approve_device),
      change("/v1/devices/{id}/tags", "tagDevice", "Gives a device its tags, in place of those it has",
             {{.name = "tags",
               .type = Type::strings,
               .about = "all it has from now on",
               .required = true,
               .longest = 64},
              waiting()},
             tag_device),
      change("/v1/devices/{id}/classify", "classifyDevice", "Sets right whose a device is",
             {{.name = "ownership",
               .about = "company, personal, vendor or partner; null: not known",
               .required = true,
               .nullable = true},
              waiting()},
             classify_device),
      change("/v1/devices/{id}/rotate", "rotateDeviceKey",
             "Asks a device to make a new WireGuard key and turn to it", {waiting()}, rotate_device),
      change("/v1/devices/{id}/isolate", "isolateDevice",
             "Cuts a device off from everything, and its people's sessions",
             {reason("for the audit trail"), waiting()}, isolate_device),
      change("/v1/devices/{id}/release", "releaseDevice", "Ends an isolation", {waiting()}, release_device)};
}

}  // namespace cordon::controller::api
