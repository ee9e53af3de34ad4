// A fuzz target without libFuzzer, in any build: each input of its corpus, then as many more as are
// asked for, made of these by chance. The chance is the same in every run.
//
//   TARGET RUNS FOLDER    exit code 0: nothing found; what is found aborts
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

using Input = std::vector<uint8_t>;

constexpr size_t kMostBytes = 4096;

// In the order of their names, so that a run can be repeated.
std::vector<Input> read_corpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Input> out;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return out;
}

class Chance {
 public:
  // Of 0 to bound - 1; 0 when there are none.
  size_t below(size_t bound) { return bound == 0 ? 0 : source_() % bound; }
  uint8_t byte() { return static_cast<uint8_t>(source_()); }

 private:
  std::mt19937_64 source_{20261129};
};

// One of the corpus with the end of another one, cut short, with bytes changed or put between.
Input make_input(const std::vector<Input>& corpus, Chance& chance) {
  Input out;
  if (!corpus.empty() && chance.below(8) != 0) out = corpus[chance.below(corpus.size())];
  if (!corpus.empty() && chance.below(4) == 0) {
    const Input& other = corpus[chance.below(corpus.size())];
    out.resize(chance.below(out.size() + 1));
    out.insert(out.end(), other.begin() + static_cast<long>(chance.below(other.size() + 1)),
               other.end());
  }
  for (size_t i = 1 + chance.below(8); i > 0; --i) {
    const size_t at = chance.below(out.size() + 1);
    const auto place = out.begin() + static_cast<long>(at);
    if (at < out.size() && chance.below(2) == 0) {
      *place = chance.byte();
    } else if (at < out.size() && chance.below(4) == 0) {
      *place ^= static_cast<uint8_t>(1U << chance.below(8));
    } else {
      out.insert(place, 1 + chance.below(16), chance.byte());
    }
  }
  if (chance.below(8) == 0) out.resize(chance.below(out.size() + 1));
  if (out.empty() || chance.below(16) == 0) {
    out.resize(chance.below(kMostBytes));
    std::generate(out.begin(), out.end(), [&] { return chance.byte(); });
  }
  out.resize(std::min(out.size(), kMostBytes));
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s RUNS FOLDER\n", argv[0]);
    return 2;
  }
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  const std::vector<Input> corpus = read_corpus(argv[2]);
  for (const Input& input : corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
  Chance chance;
  const long runs = std::strtol(argv[1], nullptr, 10);
  for (long i = 0; i < runs; ++i) {
    const Input input = make_input(corpus, chance);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu inputs of the corpus and %ld more, nothing found\n", corpus.size(), runs);
  return 0;
}
