// Boost.JSON is compiled here, once, for all that link cordon_proto.
#include <boost/json/src.hpp>
