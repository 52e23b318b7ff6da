// links: cordon_proto
// An export of the change log as somebody hands it in: what is read must be written back to the same line,
// and whatever the bytes are, verification ends with a report.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proto/audit.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cordon;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto report = wire::verify_export(text, {});
  if (report.ok()) std::abort();  // nothing leads to a root where none is trusted
  wire::ExportReader reader;
  const auto line = reader.read(text.substr(0, text.find('\n')));
  if (line && line->record) {
    wire::ExportWriter writer;
    if (writer.record(*line->record) != std::string(text.substr(0, text.find('\n'))) + "\n") std::abort();
  }
  return 0;
}
