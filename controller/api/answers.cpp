#include "controller/api/answers.h"

#include <fmt/format.h>

#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/distribution/distribution.h"
#include "controller/identity/user_name.h"

namespace cordon::controller::api {

std::set<DeviceId> connected_devices(const Services& services) {
  std::set<DeviceId> connected;
  for (const NodeStatus& node : services.distribution->nodes()) {
    if (node.connected) connected.insert(node.device);
  }
  return connected;
}

void gather_receipts(Services& services, Revision revision, Seconds wait,
                     std::function<void(boost::json::array)> done) {
  const auto as_json = [&services](const std::vector<ReceiptStatus>& receipts) {
    const std::set<DeviceId> connected = connected_devices(services);
    boost::json::array out;
    for (const ReceiptStatus& receipt : receipts)
      out.push_back(view(receipt, connected.contains(receipt.device)));
    return out;
  };
  if (wait == Seconds{0}) return done(as_json(services.distribution->receipts(revision)));
  services.distribution->wait_for(
      revision, wait,
      [as_json, done](const std::vector<ReceiptStatus>& receipts) { done(as_json(receipts)); });
}

void commit(Services& services, const Call& call, const kinds::Kind& kind, boost::json::object extra,
            Respond respond, policy::PolicyPtr parsed) {
  const Seconds wait{call.number("wait_s", 0)};
  const unsigned status = call.route->status;
  Proposal proposal = kinds::encode(call.caller.actor, kind);
  proposal.parsed = std::move(parsed);
  services.log.propose(std::move(proposal), [&services, wait, status, extra = std::move(extra),
                                             respond = std::move(respond)](Result<Committed> result) {
    if (!result) return respond(problem(result.error()));
    boost::json::object answer{{"revision", result->record.revision.value}};
    for (const auto& member : extra) answer[member.key()] = member.value();
    if (wait == Seconds{0}) return respond(json_reply(answer, status));
    gather_receipts(services, result->record.revision, wait,
                    [answer, status, respond](boost::json::array receipts) {
                      boost::json::object whole = answer;
                      whole["receipts"] = std::move(receipts);
                      respond(json_reply(whole, status));
                    });
  });
}

Result<const policy::User*> find_user(const policy::World& world, const std::string& name_or_id) {
  if (const auto it = world.users.find(SubjectId(name_or_id)); it != world.users.end()) return &it->second;
  const std::string name = normalized_user_name(name_or_id);
  const auto known = world.user_ids.find({"local", name});
  if (known != world.user_ids.end()) return &world.users.at(known->second);
  return fail(ErrorCode::not_found, fmt::format("there is no user \"{}\"", name_or_id),
              "`cordon user list` shows them");
}

Result<const policy::Device*> find_device(const policy::World& world, const std::string& id) {
  if (const auto it = world.devices.find(DeviceId(id)); it != world.devices.end()) return &it->second;
  return fail(ErrorCode::not_found, fmt::format("there is no device \"{}\"", id),
              "`cordon device list` shows them");
}

}  // namespace cordon::controller::api
