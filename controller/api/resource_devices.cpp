#include <fmt/format.h>

#include <boost/json/value.hpp>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/world/names.h"

namespace cordon::controller::api {
namespace {

void list_devices(Services& services, const Call& call, Respond respond) {
  const auto connected = connected_devices(services);
  respond(page(call, services.log.world().devices,
               [&](const policy::Device& device) { return view(device, connected.contains(device.id)); }));
}

void get_device(Services& services, const Call& call, Respond respond) {
  const auto device = find_device(services.log.world(), call.path[0]);
  if (!device) return respond(problem(device.error()));
  respond(json_reply(view(**device, connected_devices(services).contains((*device)->id))));
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
    return respond(problem(Error{.code = ErrorCode::invalid,
                                 .what = fmt::format("\"ownership\" is \"{}\"", name),
                                 .hint = "give company, personal, vendor or partner, or null: not known"}));
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
             Handler handler) {
  return {.method = "POST",
          .pattern = pattern,
          .operation = operation,
          .role = Role::operator_,
          .summary = summary,
          .body = std::move(body),
          .answer = "Revision",
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
