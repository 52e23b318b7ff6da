#pragma once
// `cordon` with a controller and a node that say what the test wants.

#include <boost/json/parse.hpp>
#include <map>
#include <sstream>

#include "cli/run.h"

namespace cordon::test {

struct CliRig {
  std::ostringstream out, err;
  std::istringstream in;
  std::map<std::string, cli::ApiReply> api;  ///< "GET /v1/users?limit=1000" to its answer
  std::vector<std::string> calls, bodies, lines;
  std::vector<std::string> typed;         ///< what the person types, in order
  std::string node;                       ///< the node's answer; empty: it isn't there
  std::vector<std::string> node_answers;  ///< its answers one after the other, before `node`
  std::vector<std::chrono::milliseconds> pauses;
  std::size_t most_pauses = 1;     ///< the person interrupts then
  std::function<void()> on_pause;  ///< what happens meanwhile

  struct Api final : cli::ApiClient {
    explicit Api(CliRig& rig) : rig(rig) {}
    Result<cli::ApiReply> call(std::string_view method, std::string_view target, std::string_view body,
                               Seconds, const Sink& sink) override {
      rig.calls.push_back(std::string(method) + " " + std::string(target));
      rig.bodies.emplace_back(body);
      const auto it = rig.api.find(rig.calls.back());
      if (it == rig.api.end())
        return fail(ErrorCode::unavailable, "can't reach the controller at there", "start it");
      if (sink && it->second.status == 200) {
        CORDON_TRY(sink(it->second.body));
        return cli::ApiReply{200, ""};
      }
      return it->second;
    }
    CliRig& rig;
  };
  struct Node final : cli::NodeClient {
    explicit Node(CliRig& rig) : rig(rig) {}
    Result<std::string> ask(std::string_view line) override {
      rig.lines.emplace_back(line);
      if (!rig.node_answers.empty()) {
        const std::string answer = rig.node_answers.front();
        rig.node_answers.erase(rig.node_answers.begin());
        return answer;
      }
      if (rig.node.empty()) return fail(ErrorCode::unavailable, "can't reach the node at there", "start it");
      return rig.node;
    }
    CliRig& rig;
  };

  int run(std::vector<std::string> arguments) {
    out.str("");
    err.str("");
    cli::Environment environment{
        .out = out,
        .err = err,
        .in = in,
        .prompt = [this](std::string_view, bool) -> Result<std::string> {
          if (typed.empty()) return fail(ErrorCode::invalid, "there is no terminal to ask at");
          std::string answer = typed.front();
          typed.erase(typed.begin());
          return answer;
        },
        .connect = [this](const cli::ApiTarget&) -> Result<std::unique_ptr<cli::ApiClient>> {
          return std::make_unique<Api>(*this);
        },
        .node = [this](std::string) { return std::make_unique<Node>(*this); },
        .now = [] { return from_us(1'800'000'000'000'000); },
        .pause =
            [this](std::chrono::milliseconds time) {
              pauses.push_back(time);
              if (on_pause) on_pause();
              return pauses.size() < most_pauses;
            }};
    return cli::run(std::move(arguments), environment);
  }
};

}  // namespace cordon::test
