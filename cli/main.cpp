#include <csignal>
#include <iostream>
#include <thread>

#include "cli/run.h"
#include "cli/terminal.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  cordon::cli::Environment environment{.out = std::cout,
                                       .err = std::cerr,
                                       .in = std::cin,
                                       .prompt = cordon::cli::prompt_on_terminal,
                                       .connect = cordon::cli::make_api_client,
                                       .node = cordon::cli::make_node_client,
                                       .now = [] { return cordon::system_clock().now(); },
                                       .pause =
                                           [](std::chrono::milliseconds time) {
                                             std::this_thread::sleep_for(time);
                                             return true;
                                           }};
  return cordon::cli::run({argv + 1, argv + argc}, environment);
}
