using System.Net;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>Ports that Gateway needs itself on the addresses where it opens services' ports.</summary>
internal static class OwnPorts
{
    /// <summary>
    /// The admin address, the embedded catalog and the edge where they meet <c>internal.addresses</c>; a service may have the same port
    /// when they do not. Call it again when a program puts one of them elsewhere (<c>gateway dev</c>).
    /// </summary>
    public static EquatableArray<ReservedPort> Of(GatewayOptions options)
    {
        List<ReservedPort> ports = [];
        if (Meets(options.Listening.Addresses.AsEnumerable(), options.Admin.Listen))
        {
            ports.Add(new ReservedPort(options.Admin.Listen.Port, "admin"));
        }

        if (options.Embedded is { } embedded && Meets(options.Listening.Addresses.AsEnumerable(), embedded.Listen))
        {
            ports.Add(new ReservedPort(embedded.Listen.Port, ReservedPort.EmbeddedCatalog));
        }

        foreach (EdgeListener edge in options.Edge?.Listeners ?? [])
        {
            if (Meets(options.Listening.Addresses.AsEnumerable(), new IPEndPoint(edge.Address == "*" ? IPAddress.IPv6Any : IPAddress.Parse(edge.Address), edge.Port)))
            {
                ports.Add(new ReservedPort(edge.Port, "the edge"));
            }
        }

        return [.. ports];
    }

    /// <summary>
    /// Whether one of the internal addresses could be that of <paramref name="own"/>. An interface's addresses are not known here
    /// and change; it is taken to have the address, unless only loopback can.
    /// </summary>
    public static bool Meets(IEnumerable<string> addresses, IPEndPoint own) =>
        addresses.Any(a => IPAddress.TryParse(a, out IPAddress? address)
            ? AddressForms.Overlap(address, own.Address)
            : !IPAddress.IsLoopback(own.Address) || a == "lo");
}
