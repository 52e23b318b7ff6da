// cordon-controller --config FILE [--check]

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "controller/core/places.h"
#include "controller/core/runtime.h"

namespace {

constexpr const char* kUsage =
    "usage: cordon-controller --config FILE [--check]\n"
    "  --config FILE  controller.toml\n"
    "  --check        reads the configuration, says what is wrong with it, and ends\n";

int complain(const cordon::Error& error) {
  std::fprintf(stderr, "cordon-controller: %s\n", error.message().c_str());
  return 1;
}

int usage(std::FILE* to, int status) {
  std::fputs(kUsage, to);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string file;
  bool check = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--help") return usage(stdout, 0);
    if (arguments[i] == "--check")
      check = true;
    else if (arguments[i] == "--config" && i + 1 < arguments.size())
      file = arguments[++i];
    else
      return usage(stderr, 2);
  }
  if (file.empty()) return usage(stderr, 2);
  const auto config = cordon::controller::read_controller_config(file);
  if (!config) return complain(config.error());
  if (check && !config->places_database.empty()) {
    const auto places = cordon::controller::Places::open(config->places_database);
    if (!places) return complain(places.error());
  }
  if (check) return std::puts("the configuration is right") >= 0 ? 0 : 1;
  std::signal(SIGPIPE, SIG_IGN);
  const auto controller = cordon::controller::start_controller(*config);
  if (!controller) return complain(controller.error());
  const auto ended = (*controller)->run();
  return ended ? 0 : complain(ended.error());
}
