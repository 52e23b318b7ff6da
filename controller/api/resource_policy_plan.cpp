// Policies before they are in force: what one would change, what one could say, and why the one in force
// decides as it does.
#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <memory>

#include "controller/api/answers.h"
#include "controller/api/policy_admission.h"
#include "controller/api/policy_plan.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/config.h"
#include "controller/core/services.h"
#include "controller/flows/flows.h"
#include "policy/decide.h"
#include "policy/explain.h"
#include "policy/learn.h"
#include "policy/plan_words.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostLearnRecords = 1'000'000;  ///< of flows that are learned from
constexpr std::size_t kMostLeftOut = 1000;

template <class Texts>
json::array lesson_texts(const Texts& all) {
  json::array out;
  for (const auto& text : all) out.emplace_back(text);
  return out;
}

/// Why apply would refuse it.
json::array obstacles(const Services& services, const PlanOutcome& outcome) {
  json::array out;
  for (const Result<>& good :
       {check_none_pending(services), outcome.enforceable, check_fits(outcome.overflows)}) {
    if (!good) out.emplace_back(good.error().message());
  }
  return out;
}

void plan_policy(Services& services, const Call& call, Respond respond) {
  auto files = files_of(call);
  if (!files) return respond(problem(files.error()));
  parse_aside(services, std::move(*files), [&services, call, respond](const PolicyInput& input) {
    if (!input.ok()) return respond(refused(input));
    const Revision compared = services.log.world().policy_revision;
    const std::string at = format_rfc3339(services.clock.now());
    plan_aside(services, input.parsed.policy, call.caller.actor,
               [&services, input, compared, at, respond](Result<PlanOutcome> outcome) {
                 if (!outcome) return respond(problem(outcome.error()));
                 json::object answer{{"policy_revision", compared.value}, {"at", at}};
                 for (auto& member : plan_json(outcome->plan)) answer[member.key()] = member.value();
                 answer["obstacles"] = obstacles(services, *outcome);
                 answer["diagnostics"] = views(input.parsed.diagnostics);
                 respond(json_reply(answer));
               });
  });
}

json::object answer_view(const policy::Lesson& lesson, const policy::World& world) {
  json::array rules, left_out;
  for (const policy::LearnedRule& rule : lesson.rules) {
    rules.push_back(json::object{{"name", rule.name},
                                 {"to", lesson_texts(rule.to)},
                                 {"flows", rule.flows},
                                 {"people", lesson_texts(rule.people)},
                                 {"machines", lesson_texts(rule.machines)},
                                 {"days", rule.days.size()},
                                 {"beyond", lesson_texts(rule.beyond)}});
  }
  for (const policy::LeftOut& left : lesson.left_out) {
    if (left_out.size() == kMostLeftOut) break;
    left_out.push_back(json::object{
        {"text", policy::in_words(world, left.flow)}, {"why", left.why}, {"flows", left.flow.count}});
  }
  return {{"text", lesson.text},
          {"rules", std::move(rules)},
          {"left_out", std::move(left_out)},
          {"flows_covered", lesson.flows_covered},
          {"flows_allowed", lesson.flows_allowed},
          {"flows_left_out", lesson.flows_left_out}};
}

/// What may keep a lesson from being whole.
json::array learn_notes(const policy::World& world, const policy::LearnQuestion& question, bool saw_all) {
  json::array notes;
  const policy::Segment& segment = world.policy->segments.at(question.segment);
  if (segment.mode != policy::Mode::observe)
    notes.emplace_back(
        fmt::format("segment {} doesn't observe, so nothing new is learned of it; set mode = "
                    "\"observe\" in it first",
                    question.segment));
  if (!saw_all)
    notes.emplace_back(fmt::format("only the latest {} flow records were looked at", kMostLearnRecords));
  return notes;
}

Reply learned(const policy::World& world, const policy::LearnQuestion& question, bool saw_all,
              Timestamp since, Timestamp now) {
  const auto lesson = policy::learn(world, question, now);
  if (!lesson) return problem(lesson.error());
  json::object answer = answer_view(*lesson, world);
  answer["notes"] = learn_notes(world, question, saw_all);
  answer["segment"] = question.segment;
  answer["since"] = format_rfc3339(since);
  return json_reply(answer);
}

void learn_policy(Services& services, const Call& call, Respond respond) {
  const Seconds kept = services.config.flows_keep;
  const Timestamp now = services.clock.now();
  const Timestamp since = now - Seconds{call.number("since_s", kept.count())};
  policy::LearnQuestion question{.segment = call.text("segment"),
                                 .one_off = static_cast<std::uint64_t>(call.number("one_off", 1))};
  const auto world = std::make_shared<const policy::World>(services.log.world());
  services.flows.read([strand = services.strand, pool = services.pool, question = std::move(question), world,
                       now, since, respond](FlowStore& store) mutable {
    const auto answer = [strand, respond](Reply reply) {
      boost::asio::post(strand, [reply = std::move(reply), respond] { respond(reply); });
    };
    auto flows = store.observed(since, kMostLearnRecords);
    if (!flows) return answer(problem(flows.error()));
    const auto saw_all = store.fits(since, kMostLearnRecords);
    if (!saw_all) return answer(problem(saw_all.error()));
    question.flows = std::move(*flows);
    boost::asio::post(pool, [question = std::move(question), world, saw_all = *saw_all, now, since, answer] {
      answer(learned(*world, question, saw_all, since, now));
    });
  });
}

Result<policy::Assurance> assurance_of(const std::string& text) {
  for (const auto level : {policy::Assurance::aal1, policy::Assurance::aal2, policy::Assurance::aal3})
    if (to_string(level) == text) return level;
  return fail(ErrorCode::invalid, "\"assurance\" is none of aal1, aal2, aal3");
}

Result<policy::ExplainQuestion> question_of(const policy::World& world, const Call& call) {
  policy::ExplainQuestion question{.user = {}, .device = {}, .to = call.text("to")};
  CORDON_ASSIGN(question.assurance, assurance_of(call.text("assurance", "aal2")));
  CORDON_ASSIGN(const policy::Device* device, find_device(world, call.text("device")));
  question.device = device->id;
  if (call.text("user").empty()) return question;
  CORDON_ASSIGN(const policy::User* user, find_user(world, call.text("user")));
  question.user = user->id;
  return question;
}

json::object answer_view(const policy::Explanation::Answer& answer, const std::string& who) {
  const policy::FactsQuery asked{
      .principal = who, .target = answer.target.value, .access = answer.what, .asks = {}};
  return {{"what", answer.what},
          {"target", answer.target.value},
          {"alike", answer.alike},
          {"imagined", answer.imagined},
          {"decision", json::parse(policy::answer_line(asked, answer.decision, "Z"))}};
}

void explain_policy(Services& services, const Call& call, Respond respond) {
  const Timestamp now = services.clock.now();
  const policy::World& world = services.log.world();
  const auto question = question_of(world, call);
  if (!question) return respond(problem(question.error()));
  const auto explanation = policy::explain(world, *question, now);
  if (!explanation) return respond(problem(explanation.error()));
  json::value session, imagined;
  if (explanation->session) session = explanation->session->value;
  if (explanation->imagined) imagined = to_string(*explanation->imagined);
  json::array answers;
  bool allowed = true;
  for (const auto& answer : explanation->answers) {
    answers.push_back(answer_view(answer, explanation->who));
    allowed &= answer.decision.verdict == policy::Verdict::allow;
  }
  respond(json_reply({{"who", explanation->who},
                      {"session", session},
                      {"imagined", imagined},
                      {"at", format_rfc3339(now)},
                      {"allowed", allowed},
                      {"answers", std::move(answers)},
                      {"lines", lesson_texts(policy::lines_of(*explanation))}}));
}

Fields learn_fields() {
  return {{.name = "segment", .about = "whose devices let the flows through", .required = true},
          {.name = "since_s",
           .type = Type::integer,
           .about = "how far back (default: as long as flows are kept)",
           .minimum = 1,
           .maximum = std::int64_t{366} * 86'400},
          {.name = "one_off",
           .type = Type::integer,
           .about = "what a source did at most so often on a port is left out (default 1)",
           .maximum = 1'000'000}};
}

Fields explain_fields() {
  return {
      {.name = "user", .about = "name or id; not given: the machine itself", .nullable = true},
      {.name = "device", .about = "where they are", .required = true},
      {.name = "to",
       .about = "\"settlement/ledger\", \"settlement/*\", \"settlement tcp/22\"",
       .required = true},
      {.name = "assurance", .about = "of the login that is imagined when no session is open (default aal2)"}};
}

}  // namespace

Routes policy_plan_routes() {
  return {{.method = "POST",
           .pattern = "/v1/policy/plan",
           .operation = "planPolicy",
           .role = Role::engineer,
           .summary =
               "Who would gain and who would lose what, and which open flows would be cut; nothing changes",
           .body = {files_field()},
           .answer = "PolicyPlan",
           .handler = plan_policy},
          {.method = "POST",
           .pattern = "/v1/policy/learn",
           .operation = "learnPolicy",
           .role = Role::engineer,
           .summary = "Rules for what a segment in observe mode let through although none allowed it",
           .body = learn_fields(),
           .answer = "PolicyLesson",
           .handler = learn_policy},
          {.method = "POST",
           .pattern = "/v1/policy/explain",
           .operation = "explainPolicy",
           .role = Role::viewer,
           .summary = "May somebody reach a service, by which rule, until when; or what stands in the way",
           .body = explain_fields(),
           .answer = "PolicyExplanation",
           .handler = explain_policy}};
}

}  // namespace cordon::controller::api
