#pragma once
// The desk's answers as JSON lines.

#include <string>
#include <vector>

#include "node/agent/desk.h"
#include "node/agent/reach.h"

namespace cordon::wire {
class StatusAnswer;
class WhyAnswer;
}  // namespace cordon::wire

namespace cordon::node {

/// `session` null: none of the caller's is in the state yet, its addresses are left out.
std::string login_json(const wire::LoginAnswer& answer, const policy::LocalSessionValue* session);
std::string ok_json();
std::string why_json(const wire::WhyAnswer& answer);
/// `answer` null: the controller wasn't there; session and reach are the node's own knowledge.
std::string status_json(const DeskBackend& backend, std::uint32_t uid, const wire::StatusAnswer* answer);

}  // namespace cordon::node
