"""Stand-ins for Pulumi's plugins on the embedded platform, each speaking Pulumi's own gRPC protocol."""
