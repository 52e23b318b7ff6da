// Runs a fuzzer without libFuzzer, with any compiler: every file of its corpus, every prefix of it (sampled
// when it is long), and a bounded number of mutations that are the same on every run.
//   replay CORPUS_DIRECTORY

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t kPrefixes = 512, kMutations = 2000;

/// From a heap block of exactly that size, so that a sanitizer sees a read past its end.
void run(const Input& input) {
  const Input exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

void run_prefixes(const Input& whole) {
  const std::size_t step = std::max<std::size_t>(1, whole.size() / kPrefixes);
  for (std::size_t size = 0; size < whole.size(); size += step) {
    run(Input(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
  }
}

void mutate(Input& input, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  const std::size_t at = input.empty() ? 0 : below(input.size());
  const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
  switch (input.empty() ? 1 : below(5)) {
    case 0:
      *place ^= static_cast<std::uint8_t>(1u << below(8));
      break;
    case 1:
      input.insert(place, static_cast<std::uint8_t>(random()));
      break;
    case 2:
      input.erase(place);
      break;
    case 3:
      *place = below(2) == 0 ? 0xff : 0;
      break;
    default: {
      const auto length =
          static_cast<std::ptrdiff_t>(below(std::min<std::size_t>(16, input.size() - at)) + 1);
      const Input copy(place, place + length);
      input.insert(input.begin() + static_cast<std::ptrdiff_t>(below(input.size())), copy.begin(),
                   copy.end());
    }
  }
}

void run_mutations(const Input& whole) {
  std::mt19937 random(static_cast<std::uint32_t>(whole.size()));
  for (std::size_t i = 0; i < kMutations; ++i) {
    Input input = whole;
    for (std::size_t n = random() % 4 + 1; n > 0; --n) mutate(input, random);
    run(input);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  run({});
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const Input input{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    run(input);
    run_prefixes(input);
    run_mutations(input);
  }
  std::printf("%zu files\n", files.size());
  return files.empty() ? 1 : 0;
}
