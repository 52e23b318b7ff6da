// Every named schema: parts of bodies and what answers look like. A member that an answer always has is
// required.

#include <cstdlib>

#include "base/log.h"
#include "controller/api/fields.h"

namespace cordon::controller::api {
namespace {

Field text(std::string_view name, std::string_view about) {
  return {.name = name, .about = about, .required = true};
}
Field maybe(std::string_view name, std::string_view about) {
  return {.name = name, .about = about, .required = true, .nullable = true};
}
Field number(std::string_view name, std::string_view about) {
  return {.name = name, .type = Type::integer, .about = about, .required = true};
}
Field flag(std::string_view name, std::string_view about) {
  return {.name = name, .type = Type::boolean, .about = about, .required = true};
}
Field time(std::string_view name, std::string_view about, bool nullable = false) {
  return {.name = name, .type = Type::time, .about = about, .required = true, .nullable = nullable};
}
Field texts(std::string_view name, std::string_view about) {
  return {.name = name, .type = Type::strings, .about = about, .required = true};
}
Field maybe_texts(std::string_view name, std::string_view about) {
  return {.name = name, .type = Type::strings, .about = about, .required = true, .nullable = true};
}
Field many(std::string_view name, std::string_view ref, std::string_view about) {
  return {
      .name = name, .type = Type::objects, .about = about, .required = true, .longest = 100'000, .ref = ref};
}
Field receipts() {
  Field field = many("receipts", "Receipt", "given when wait_s was: one per node concerned");
  field.required = false;
  return field;
}

/// Of a policy that was put in force: what it changed for whom.
Field plan_summary() {
  return {.name = "plan",
          .type = Type::object,
          .about = "what changes for whom, as worked out before",
          .ref = "PolicyPlanSummary"};
}
Field one(std::string_view name, std::string_view ref, std::string_view about) {
  return {.name = name, .type = Type::object, .about = about, .required = true, .ref = ref};
}

Fields policy_schemas_file() {
  return {text("name", "relative path, ending in .toml"),
          {.name = "text", .about = "the file's content", .required = true, .longest = 8u << 20}};
}

using Named = std::vector<std::pair<std::string_view, Fields>>;

void add_policy(Named& all) {
  all.emplace_back("PolicyFile", policy_schemas_file());
  all.emplace_back("Place", Fields{text("file", "the file"), number("line", "from 1; 0: unknown"),
                                   number("column", "from 1; 0: unknown")});
  all.emplace_back(
      "Diagnostic",
      Fields{text("severity", "error or warning"), text("file", "the file"),
             number("line", "from 1; 0: unknown"), number("column", "from 1; 0: unknown"),
             text("message", "what is wrong"), texts("hints", "what mends it"),
             many("also", "Place", "other places concerned"), text("text", "all of it as one line")});
  all.emplace_back("Policy", Fields{number("revision", "of the record that applied it; 0: none yet"),
                                    many("files", "PolicyFile", "as applied"),
                                    time("confirm_by", "until when it waits for confirmation", true),
                                    number("confirmed_revision", "of the one that comes back otherwise")});
  all.emplace_back("PolicyCheck", Fields{flag("ok", "true without errors"),
                                         many("diagnostics", "Diagnostic", "all of them")});
  all.emplace_back("PolicyApplied",
                   Fields{number("revision", "of the record: what to confirm"),
                          time("confirm_by", "it is rolled back then unless confirmed"),
                          many("diagnostics", "Diagnostic", "warnings"), plan_summary(), receipts()});
  all.emplace_back("PolicyConfirmed",
                   Fields{number("revision", "of the record"),
                          number("policy_revision", "of the policy that stays"), receipts()});
  all.emplace_back(
      "PolicyRolledBack",
      Fields{number("revision", "of the record"),
             number("policy_revision", "of the policy whose text is in force again"),
             number("undone", "the policy that was taken back; 0: an older one was applied again"),
             time("confirm_by", "until when the older one waits for confirmation", true),
             many("diagnostics", "Diagnostic", "warnings"), plan_summary(), receipts()});
  all.emplace_back(
      "PolicyRecord",
      Fields{number("revision", "of the record that applied it"), time("at", "of that record"),
             text("actor", "who applied it"), text("actor_name", "the same with the person's name"),
             number("files", "how many it has"),
             text("tzdata", "version of the time zones it was applied with; empty: not recorded"),
             text("state",
                  "pending, in force, confirmed (it comes back unless the pending one is confirmed), "
                  "superseded or rolled back"),
             time("since", "of that state"), text("by", "who brought it about"),
             text("by_name", "the same with the person's name"), text("reason", "of a rollback"),
             number("replaced_by", "the policy that took its place; 0: none"),
             time("confirm_by", "until when it waits or waited; null: confirmed at once", true)});
  all.emplace_back("PolicyFileDiff",
                   Fields{text("name", "of the file"), text("change", "added, removed or changed"),
                          text("diff", "unified format")});
  all.emplace_back("PolicyDiff", Fields{number("a", "revision"), number("b", "revision"),
                                        many("files", "PolicyFileDiff", "those that differ")});
}

void add_plan(Named& all) {
  all.emplace_back("PlanPrincipal", Fields{text("person", "name; empty: the machine itself"),
                                           text("device", "where they are"), text("session", "empty: none")});
  all.emplace_back(
      "PlanChange",
      Fields{text("change", "gains or loses"), text("segment", "of the targets"),
             text("service", "empty: ports that no service names"),
             texts("accesses", "ports that come or go"), texts("targets", "devices, the first of them"),
             number("target_count", "all of them"),
             flag("whole_segment", "the targets are all that the segment has"),
             text("rule", "the allow that grants or granted it"),
             text("forbidden_by", "the forbid that takes it; empty: nothing allows it any more"),
             number("flows_cut", "flows open now that are cut")});
  all.emplace_back(
      "PlanEntry",
      Fields{many("principals", "PlanPrincipal", "to whom it happens; the first of them"),
             number("principal_count", "all of them"), many("changes", "PlanChange", "losses first"),
             texts("lines", "the same in words")});
  all.emplace_back(
      "PlanWarning",
      Fields{
          text("kind",
               "locks-out-author, opens-to-everyone, opens-every-port, nobody-reaches, "
               "no-rules, starts-enforcing, starts-observing, opens-underlay, ends-earlier, not-signed-in, "
               "flows-not-seen, drops-while-turning, not-forwarded, too-old-for-gateways"),
          text("text", "one sentence"), texts("lines", "what it is about")});
  all.emplace_back(
      "PlanTotals",
      Fields{number("people_losing", "each person once"), number("people_gaining", "each person once"),
             number("machines_losing", "acting for themselves"),
             number("machines_gaining", "acting for themselves"), number("losses", "principal by service"),
             number("gains", "principal by service"), number("flows_cut", "open now"),
             number("devices_observing", "that accept everything from now on, and report it"),
             number("underlays_opened", "devices whose underlay guard passes more"),
             number("changes_left_out", "not told one by one")});
  all.emplace_back("PolicyPlanSummary", Fields{text("summary", "one sentence"), texts("lines", "for people"),
                                               many("warnings", "PlanWarning", "")});
  all.emplace_back("PolicyPlan",
                   Fields{number("policy_revision", "of the policy it is compared with; 0: none"),
                          time("at", "as of when"), text("summary", "one sentence"),
                          one("totals", "PlanTotals", "exact"), many("warnings", "PlanWarning", ""),
                          many("changes", "PlanEntry", "who gains and who loses what; losses first"),
                          texts("obstacles", "why apply would refuse it now; empty: it would not"),
                          many("diagnostics", "Diagnostic", "warnings")});
}

void add_learning(Named& all) {
  Field proposal = text("text", "TOML, to be put beside the policy's other files");
  proposal.longest = 16u << 20;
  all.emplace_back("LearnedRule",
                   Fields{text("name", "of the rule"), texts("to", "as in the rule"),
                          number("flows", "it covers"), texts("people", "seen"), texts("machines", "seen"),
                          number("days", "on which they were seen (UTC)"),
                          texts("beyond", "whom it lets in too who weren't seen doing so")});
  all.emplace_back("LearnLeftOut", Fields{text("text", "in words"), text("why", ""), number("flows", "")});
  all.emplace_back(
      "PolicyLesson",
      Fields{text("segment", ""), time("since", "from when on"), proposal,
             many("rules", "LearnedRule", "proposed"), many("left_out", "LearnLeftOut", "covered by no rule"),
             number("flows_covered", "by the rules"), number("flows_allowed", "by the policy as it is"),
             number("flows_left_out", ""), texts("notes", "what may keep it from being whole")});
  all.emplace_back("ExplainAnswer",
                   Fields{text("what", "segment, service and port"),
                          text("target", "the device"),
                          number("alike", "devices of which the same is true, this one included"),
                          flag("imagined", "the segment has no device: a plain member"),
                          {.name = "decision",
                           .type = Type::object,
                           .about = "as `policy decide` gives it",
                           .required = true}});
  all.emplace_back(
      "PolicyExplanation",
      Fields{text("who", ""), maybe("session", "the open one; null: none is"),
             maybe("imagined", "then: the level of the login that is imagined; null for machines"),
             time("at", "as of when"), flag("allowed", "every answer is allow"),
             many("answers", "ExplainAnswer", "one per port and kind of device"),
             texts("lines", "the same in words")});
}

void add_devices(Named& all) {
  all.emplace_back(
      "Device",
      Fields{text("id", "its name"),
             number("number", "its number as a target"),
             text("state", "pending, active or removed"),
             texts("tags", "given at enrolment or by an operator"),
             maybe("ownership", "company, personal, vendor, partner"),
             maybe_texts("checks", "that pass now; null: it hasn't reported"),
             maybe("attestation", "software or tpm; null: it hasn't proved its key yet"),
             maybe("source", "the underlay address it is seen from"),
             maybe("country", "ISO 3166 code of the source"),
             flag("isolated", "cut off from everything"),
             texts("addresses", "overlay addresses: IPv4, IPv6; none while pending, none behind a gateway"),
             maybe("gateway", "the device that it is behind; null: it has a daemon of its own"),
             texts("prefixes", "where it is reached behind its gateway"),
             flag("gateway_isolated", "it is cut off because its gateway is isolated"),
             texts("gateway_subnets", "that its node last said it forwards to; none: it is no gateway"),
             text("tunnel_key", "its WireGuard public key"),
             flag("tunnel_key_turns", "it makes another key, or turns to one once its peers know it"),
             text("platform", "what it says of itself; decides nothing"),
             text("token", "the join token it came with"),
             time("enrolled_at", "when it asked in"),
             flag("connected", "its node is connected to this controller now")});
  all.emplace_back(
      "Node", Fields{text("device", "the device"),
                     flag("connected", "now"),
                     text("version", "of its software"),
                     maybe("seen_from", "where its connection comes from"),
                     number("acked", "the revision it enforces"),
                     time("last_heartbeat", "", true),
                     time("leases_end", "when its leases will have run out", true),
                     text("last_nack", "why it refused the last state it refused; empty: it didn't"),
                     texts("alarms", "conditions now"),
                     texts("gateway_subnets", "that it last said it forwards to"),
                     {.name = "counters", .type = Type::object, .about = "cumulative", .required = true}});
  all.emplace_back("Receipt",
                   Fields{text("device", "the node's device"),
                          flag("acked", "it enforces the revision"),
                          flag("self", "the isolated host's own word: shown, never counted"),
                          {.name = "after_ms",
                           .type = Type::integer,
                           .about = "from the record's commit to the ack",
                           .required = true,
                           .nullable = true},
                          {.name = "after_us",
                           .type = Type::integer,
                           .about = "the same in microseconds",
                           .required = true,
                           .nullable = true},
                          flag("connected", "its node is connected to this controller now"),
                          time("leases_end", "when leases will have run out where no ack came", true),
                          text("nack", "why the node refused; empty: it didn't")});
  all.emplace_back("Receipts", Fields{number("revision", "asked about"),
                                      many("receipts", "Receipt", "one per node concerned")});
  all.emplace_back("JoinToken",
                   Fields{text("id", "t-..."), texts("tags", "that devices get"),
                          maybe("ownership", "that devices get"), number("uses_left", ""),
                          time("expires_at", ""), flag("approve", "devices need no approval by hand"),
                          maybe("source", "where it may be used from"),
                          text("state", "usable, used, expired or revoked")});
  all.emplace_back("JoinTokenCreated",
                   Fields{number("revision", "of the record"), text("id", "t-..."),
                          text("token", "the whole token, shown once"), time("expires_at", "")});
}

void add_people(Named& all) {
  all.emplace_back(
      "User", Fields{text("id", "opaque, as records name it"), text("name", "empty once erased"),
                     text("issuer", "local, or an identity provider"), flag("disabled", "can't log in")});
  all.emplace_back("UserAdded",
                   Fields{number("revision", "of the record"), text("id", "of the user"), text("name", ""),
                          text("otpauth", "the URI for an authenticator app, shown once")});
  all.emplace_back("Session", Fields{text("id", "s-..."), text("user", "the person's name"),
                                     text("user_id", "the person's id"), text("device", "where they are"),
                                     text("assurance", "aal1, aal2 or aal3"), time("authenticated_at", ""),
                                     time("ends_at", "", true), number("uid", "on that device"),
                                     texts("addresses", "overlay addresses: IPv4, IPv6"),
                                     texts("signals", "what takes from trust: name, cost, until when")});
  all.emplace_back("ApiToken",
                   Fields{text("id", "a-..."), text("role", "viewer, auditor, engineer, operator or admin"),
                          text("owner", "whom it dies with"), time("expires_at", ""),
                          text("state", "usable, expired or revoked")});
  all.emplace_back("ApiTokenCreated",
                   Fields{number("revision", "of the record"), text("id", "a-..."),
                          text("token", "the whole token, shown once"), time("expires_at", "")});
}

void add_trail(Named& all) {
  all.emplace_back("AuditRecord",
                   Fields{number("revision", ""),
                          time("at", ""),
                          text("actor", "who asked for it"),
                          text("actor_name", "the same with the person's name"),
                          text("kind", ""),
                          number("version", "of the kind"),
                          {.name = "payload", .type = Type::object, .about = "as recorded", .required = true},
                          text("previous", "hash of the record before, hex"),
                          text("hash", "hex")});
  all.emplace_back(
      "AuditVerified",
      Fields{flag("ok", "every record is as it was written, and none is missing"),
             number("records", "verified"), number("heads", "signed heads verified"),
             number("revision", "the last that is verified"), time("at", "of that record", true),
             text("checkpoint", "REVISION:HASH of that record, to keep elsewhere"),
             texts("signers", "controllers that signed"), text("fault", "what is wrong; empty when ok"),
             number("fault_revision", "the first that can't be relied on; 0 when ok")});
  all.emplace_back(
      "Flow",
      Fields{number("id", "grows in order of arrival"),
             time("at", ""),
             text("node", "who reported it"),
             text("kind", "opened, denied, closed or underlay"),
             text("verdict", "allowed, denied, or observed (denied, but let through)"),
             text("source", "address"),
             number("source_port", ""),
             text("source_device", ""),
             text("person", "name; empty: a machine"),
             text("destination", "address"),
             number("destination_port", ""),
             text("destination_device", ""),
             text("segment", "the target's; without a service all of them, by commas"),
             text("service", "of the segment; empty: none has this port"),
             text("protocol", "tcp, udp, ..."),
             text("rule", "that decided; empty: none did"),
             text("reason", "of a denial, or why it was cut"),
             text("direction", "at the reporting node: ingress or egress"),
             number("packets", "of a closed flow, both ways"),
             number("bytes", "of a closed flow, both ways"),
             number("suppressed", "denials of this source and reason that were counted and not told apart")});
  all.emplace_back("Count", Fields{text("name", ""), number("packets", ""), number("bytes", "")});
  all.emplace_back(
      "NodeCounters",
      Fields{text("device", "the node's"), flag("connected", "now"), time("at", "as of", true),
             number("events_lost", "flow events that nobody could be told, since its filter was loaded"),
             many("rules", "Count", "packets that a rule let pass"),
             many("reasons", "Count", "packets dropped for a reason; observed: let through all the same")});
}

void add_common(Named& all) {
  all.emplace_back("Revision", Fields{number("revision", "of the record"), receipts()});
  all.emplace_back(
      "DeviceAdded",
      Fields{number("revision", "of the record"),
             texts("warnings", "what keeps it from being reached as nodes are now"), receipts()});
  all.emplace_back("Health", Fields{flag("ok", "the log's storage answers")});
  all.emplace_back("Status",
                   Fields{text("controller", "its name"), text("version", "of the software"),
                          text("trust_domain", ""), number("revision", "of the last record"),
                          time("at", "of the last record"), text("head", "hash of the last record, hex"),
                          number("policy_revision", "of the policy in force; 0: none yet"),
                          number("devices", "active"), number("devices_pending", "waiting for approval"),
                          number("devices_isolated", ""), number("nodes_connected", ""), number("users", ""),
                          number("sessions", "open"), flag("storage_ok", "the log's storage answers"),
                          text("trust_bundle", "the authority's certificates, PEM"),
                          texts("overlay", "prefixes: IPv4, IPv6")});
  all.emplace_back("Problem", Fields{text("type", "a URN per kind of problem"),
                                     text("title", ""),
                                     number("status", ""),
                                     text("detail", "what failed"),
                                     text("code", "the kind of failure"),
                                     {.name = "hint", .about = "what mends it"},
                                     {.name = "diagnostics",
                                      .type = Type::objects,
                                      .about = "of a policy",
                                      .longest = 100'000,
                                      .ref = "Diagnostic"}});
}

}  // namespace

const std::vector<std::pair<std::string_view, Fields>>& schemas() {
  static const Named all = [] {
    Named named;
    add_common(named);
    add_policy(named);
    add_plan(named);
    add_learning(named);
    add_devices(named);
    add_people(named);
    add_trail(named);
    return named;
  }();
  return all;
}

const Fields& schema(std::string_view name) {
  for (const auto& [known, fields] : schemas()) {
    if (known == name) return fields;
  }
  log::error("controller.api", "there is no schema \"{}\"", name);
  std::abort();
}

}  // namespace cordon::controller::api
