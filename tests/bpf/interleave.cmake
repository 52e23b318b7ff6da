# cordon.bpf.c with a place for another CPU at each step (interleave.bpf.c), and with the barriers that machines
# of weak order need: they are loaded and judge here too.
set(interleave_dir ${CMAKE_BINARY_DIR}/tests/bpf)
file(GLOB interleave_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/ebpf/*.h)
add_custom_command(OUTPUT ${interleave_dir}/interleave.skel.h
  COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -DCORDON_WEAKLY_ORDERED
          -I${CMAKE_SOURCE_DIR} -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
          -c ${CMAKE_CURRENT_SOURCE_DIR}/bpf/interleave.bpf.c -o ${interleave_dir}/interleave.bpf.o
  COMMAND ${BPFTOOL} gen skeleton ${interleave_dir}/interleave.bpf.o name cordon_interleave
          > ${interleave_dir}/interleave.skel.h
  DEPENDS bpf/interleave.bpf.c bpf/interleave.h ${CMAKE_SOURCE_DIR}/ebpf/cordon.bpf.c ${interleave_headers} VERBATIM)
target_sources(bpf_verdict PRIVATE ${interleave_dir}/interleave.skel.h)
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/bpf/other_cpu.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
