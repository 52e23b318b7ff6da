# The programs of other versions (older.h): from the same sources, one header changed, or compiled
# otherwise (-Os takes more stack than the verifier allows).
set(older_dir ${CMAKE_BINARY_DIR}/tests/bpf)
file(GLOB older_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/ebpf/*.h)
add_custom_command(OUTPUT ${older_dir}/older/ebpf/abi_state.h
  COMMAND ${CMAKE_COMMAND} -E make_directory ${older_dir}/older/ebpf
  COMMAND sed -e "s/^struct cordon_flow {/&\\n  __u64 was_here_once;/" -e "/sizeof(struct cordon_flow) ==/d"
          ${CMAKE_SOURCE_DIR}/ebpf/abi_state.h > ${older_dir}/older/ebpf/abi_state.h
  DEPENDS ${CMAKE_SOURCE_DIR}/ebpf/abi_state.h VERBATIM)
foreach(version older rebuilt)
  if(version STREQUAL older)
    set(how -O2)
  else()
    set(how -O3)
  endif()
  add_custom_command(OUTPUT ${older_dir}/${version}.skel.h
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 ${how} -g -Wall -Wextra -Werror -I${older_dir}/${version}
            -I${CMAKE_SOURCE_DIR} -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -c ${CMAKE_SOURCE_DIR}/ebpf/cordon.bpf.c -o ${older_dir}/${version}.bpf.o
    COMMAND ${BPFTOOL} gen skeleton ${older_dir}/${version}.bpf.o name cordon_${version}
            > ${older_dir}/${version}.skel.h
    DEPENDS ${CMAKE_SOURCE_DIR}/ebpf/cordon.bpf.c ${older_headers} ${older_dir}/older/ebpf/abi_state.h VERBATIM)
endforeach()
target_sources(bpf_verdict PRIVATE ${older_dir}/older.skel.h ${older_dir}/rebuilt.skel.h)
target_include_directories(bpf_verdict SYSTEM PRIVATE ${CMAKE_BINARY_DIR})
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/bpf/older.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
