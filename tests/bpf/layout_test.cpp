// ebpf/abi.h is the same on both sides: what C++ sees is what the loaded object's BTF says.

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "node/filter/layout.h"
#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace layout_test {

struct FreeBtf {
  void operator()(btf* b) const { btf__free(b); }
};

class LayoutTest : public FilterTest {
 protected:
  std::unique_ptr<btf, FreeBtf> loaded_btf() const {
    bpf_map_info info{};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(filter_->objects().map("flows"), &info, &size) != 0) return nullptr;
    return std::unique_ptr<btf, FreeBtf>(btf__load_from_kernel_by_id(info.btf_id));
  }
};

TEST_F(LayoutTest, EveryFieldStandsWhereTheKernelsProgramsReadIt) {
  const auto types = loaded_btf();
  ASSERT_NE(types, nullptr);
  for (const node::FieldLayout& expected : node::abi_layout()) {
    // What goes through a ring buffer has no type in BTF: FlowTest.EventsTellOpenedDeniedAndClosed reads its
    // fields.
    if (std::string_view(expected.structure) == "cordon_event") continue;
    const std::string name = std::string(expected.structure) + "." + expected.field;
    const auto id = btf__find_by_name_kind(types.get(), expected.structure, BTF_KIND_STRUCT);
    ASSERT_GT(id, 0) << name;
    const btf_type* type = btf__type_by_id(types.get(), static_cast<__u32>(id));
    if (*expected.field == '\0') {
      EXPECT_EQ(type->size, expected.size) << name;
      continue;
    }
    bool found = false;
    for (__u32 i = 0; i < btf_vlen(type); ++i) {
      const btf_member& member = btf_members(type)[i];
      if (std::string_view(btf__name_by_offset(types.get(), member.name_off)) != expected.field) continue;
      found = true;
      EXPECT_EQ(btf_member_bit_offset(type, i), expected.offset * 8) << name;
      EXPECT_EQ(btf__resolve_size(types.get(), member.type), static_cast<__s64>(expected.size)) << name;
    }
    EXPECT_TRUE(found) << name;
  }
}

}  // namespace layout_test
}  // namespace cordon::test
