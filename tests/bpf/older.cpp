#include "tests/bpf/older.h"

#include "tests/bpf/older.skel.h"
#include "tests/bpf/rebuilt.skel.h"

namespace cordon::test {

std::span<const std::byte> older_programs() {
  std::size_t size = 0;
  const void* data = cordon_older::elf_bytes(&size);
  return {static_cast<const std::byte*>(data), size};
}

std::span<const std::byte> rebuilt_programs() {
  std::size_t size = 0;
  const void* data = cordon_rebuilt::elf_bytes(&size);
  return {static_cast<const std::byte*>(data), size};
}

}  // namespace cordon::test
