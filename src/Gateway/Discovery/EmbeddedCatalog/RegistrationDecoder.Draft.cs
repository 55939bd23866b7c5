using Gateway.Catalog;

namespace Gateway.Discovery.EmbeddedCatalog;

// A check between its JSON and its record: what Consul's agent validates, and the defaults it adds.
internal static partial class RegistrationDecoder
{
    /// <summary>A check as it was written.</summary>
    private sealed class Draft
    {
        public required string CheckId { get; init; }

        public required string Name { get; init; }

        public required string Notes { get; init; }

        public required string Status { get; init; }

        public required TimeSpan Ttl { get; init; }

        public required TimeSpan Interval { get; init; }

        public required TimeSpan Timeout { get; init; }

        public required TimeSpan DeregisterAfter { get; init; }

        public required string Http { get; init; }

        public required string Tcp { get; init; }

        public required string Grpc { get; init; }

        public required string Method { get; init; }

        public required string Body { get; init; }

        public required bool TlsSkipVerify { get; init; }

        public required bool Alias { get; init; }

        public required bool Script { get; init; }

        public List<MetaEntry> Headers { get; } = [];

        private bool Probes => Http.Length + Tcp.Length + Grpc.Length > 0 || Script;

        public bool Empty => !Probes && !Alias && Ttl == default && Interval == default && Timeout == default
            && CheckId.Length == 0
            && Name.Length == 0 && Notes.Length == 0 && Status.Length == 0 && DeregisterAfter == default;

        public Refusal? Refuse(bool inService)
        {
            string? wrong =
                Interval > default(TimeSpan) && Ttl > default(TimeSpan) ? "Interval and TTL cannot both be specified"
                : Probes && Interval <= default(TimeSpan)
                    ? $"Interval must be > 0 for Script, HTTP, or TCP checks, it is {GoDuration.Format(Interval)}"
                : !Probes && !Alias && Ttl <= default(TimeSpan)
                    ? $"TTL must be > 0 for TTL checks, it is {GoDuration.Format(Ttl)}"
                : null;
            if (wrong is not null)
            {
                return new Refusal(400, $"Invalid check: {wrong}");
            }

            if (Status.Length > 0 && RegistrationDecoder.Status(Status) is null)
            {
                return new Refusal(400, inService
                    ? $"Status for checks must 'passing', 'warning', 'critical', it is '{Status}'"
                    : $"Bad check status: '{Status}'; allowed are passing, warning, critical");
            }

            return Script ? new Refusal(500,
                    "Scripts are disabled on this agent from remote calls; the embedded catalog runs none, use HTTP, TCP or TTL")
                : Grpc.Length > 0
                    ? new Refusal(400, "Invalid check: GRPC is not built yet here; allowed are HTTP, TCP, TTL")
                : Alias
                    ? new Refusal(400, "Invalid check: aliases are not built yet here; allowed are HTTP, TCP, TTL")
                : Http.Length > 0 && Tcp.Length > 0 ? new Refusal(400, "Invalid check: HTTP and TCP cannot both be specified")
                : null;
        }

        public CheckRegistration Register(string id, string name, string serviceId)
        {
            CheckKind kind = Http.Length > 0 ? CheckKind.Http : Tcp.Length > 0 ? CheckKind.Tcp : CheckKind.Ttl;
            CheckDefinition definition = new()
            {
                Id = id,
                Name = name,
                Notes = Notes,
                ServiceId = serviceId,
                Kind = kind,
                Ttl = kind == CheckKind.Ttl ? Ttl : default,

                // Consul's floor and defaults: an interval of 1 s, a timeout of 10 s, deregistration after a minute.
                Interval = kind == CheckKind.Ttl ? default : Max(Interval, TimeSpan.FromSeconds(1)),
                Timeout = kind == CheckKind.Ttl ? default : Timeout > default(TimeSpan) ? Timeout : TimeSpan.FromSeconds(10),
                Target = kind == CheckKind.Http ? Http : kind == CheckKind.Tcp ? Tcp : "",
                Method = Method,
                Body = Body,
                Headers = Headers.ToEquatableArray(),
                TlsSkipVerify = TlsSkipVerify,
                DeregisterAfter = DeregisterAfter > default(TimeSpan) ? Max(DeregisterAfter, TimeSpan.FromMinutes(1)) : default,
            };
            return new CheckRegistration(definition, RegistrationDecoder.Status(Status) ?? CheckStatus.Critical);
        }

        private static TimeSpan Max(TimeSpan a, TimeSpan b) => a > b ? a : b;
    }
}
