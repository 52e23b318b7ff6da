// links: cordon_proto
// One entry of a state; what decodes must encode to what decodes to the same, and its key alone as well.

#include <cstdint>
#include <cstdlib>

#include <google/protobuf/stubs/logging.h>

#include "proto/codec.h"

namespace {

using namespace cordon;

void must_be(const Result<policy::Change>& got, const policy::Change& wanted) {
  if (!got || *got != wanted) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  google::protobuf::LogSilencer quiet;
  wire::Entry entry;
  if (!entry.ParseFromArray(data, static_cast<int>(size))) return 0;
  const auto key = wire::decode_entry(entry, true);
  const auto whole = wire::decode_entry(entry, false);
  if (key) must_be(wire::decode_entry(wire::encode_entry(key->key, nullptr), true), *key);
  if (whole) {
    if (!key) std::abort();
    must_be(wire::decode_entry(wire::encode_entry(whole->key, &*whole->value), false), *whole);
    policy::encode(whole->key, *whole->value);
  }
  return 0;
}
