using Gateway.Discovery;
using Gateway.Discovery.Consul;
using Gateway.Planning;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Yarp.ReverseProxy.Configuration;

namespace Gateway;

/// <summary>For applications that run YARP already and want Gateway's routes without Gateway's engine.</summary>
public static class GatewayReverseProxyBuilderExtensions
{
    /// <summary>
    /// Loads routes and clusters live from Consul, by the same tags and rules as Gateway itself: host tags become routes by host and
    /// path prefix, listen tags become routes by port (<c>*:3000</c>), which the application has to listen on. YARP has no weights and
    /// no TCP, so weights other than 0 count the same and TCP listeners are left out; the removal guard and the last known good
    /// catalog on disk are the gateway's own.
    /// </summary>
    /// <param name="builder">YARP's builder.</param>
    /// <param name="consul">How Consul is reached; null: the local agent.</param>
    /// <param name="planning">Environments, hand tuning, hosts; null: the defaults.</param>
    public static IReverseProxyBuilder LoadFromConsul(
        this IReverseProxyBuilder builder, ConsulOptions? consul = null, PlanningOptions? planning = null) =>
        builder.Add(provider => new ConsulProxyConfigProvider(
            consul ?? new ConsulOptions(), planning ?? new PlanningOptions(), provider.GetService<TimeProvider>() ?? TimeProvider.System,
            provider.GetRequiredService<ILoggerFactory>()));

    /// <summary>The same from any source of services.</summary>
    /// <param name="builder">YARP's builder.</param>
    /// <param name="source">The source.</param>
    /// <param name="planning">Environments, hand tuning, hosts; null: the defaults.</param>
    public static IReverseProxyBuilder LoadFromCatalog(
        this IReverseProxyBuilder builder, ICatalogSource source, PlanningOptions? planning = null) =>
        builder.Add(provider => new ConsulProxyConfigProvider(
            source, planning ?? new PlanningOptions(), provider.GetRequiredService<ILoggerFactory>()));

    private static IReverseProxyBuilder Add(this IReverseProxyBuilder builder, Func<IServiceProvider, ConsulProxyConfigProvider> make)
    {
        builder.Services.AddSingleton(make);
        builder.Services.AddSingleton<IProxyConfigProvider>(provider => provider.GetRequiredService<ConsulProxyConfigProvider>());
        builder.Services.AddSingleton<IHostedService>(provider => provider.GetRequiredService<ConsulProxyConfigProvider>());
        return builder;
    }
}
