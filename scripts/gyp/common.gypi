# Stands for Node's headers, which node-gyp would download otherwise: CMake takes them from node-api-headers.
{}
